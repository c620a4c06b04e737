using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Pack;
using ModelPack.Passes;
using ModelPack.Runtime.Prepared;

namespace ModelPack.Toolchain;

/// <summary>Checks artifacts: checksums, values against the original, and whether compiling again gives the same bytes.</summary>
public static class Verification
{
    /// <summary>
    /// Checks every byte of an artifact as it is stored, without decoding: whether it is what was written, at the speed of the disk or of the hash. <see cref="Verify"/> also decodes every chunk.
    /// </summary>
    /// <param name="path">The artifact.</param>
    /// <param name="threads">Worker threads; 0 means one per processor.</param>
    /// <param name="prepared">A folder with prepared weights, of which those of this artifact are checked too; null to skip.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">The artifact cannot be opened at all, or not be read; MP1001: no such folder.</exception>
    public static VerifyResult VerifyStored(string path, int threads = 0, string? prepared = null, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using PackReader reader = PackReader.Open(path);
        PackProgressAdapter? adapter = progress is null ? null : new PackProgressAdapter(progress, "verify");
        IReadOnlyList<PackProblem> problems = reader.VerifyStored(Pipelines.Threads(threads), adapter, cancellation);
        (IReadOnlyList<string> damaged, string? note) = CheckPrepared(reader, prepared, cancellation);
        return new VerifyResult
        {
            Path = path,
            Decoded = false,
            Errors = [.. problems.Select(p => Describe(path, p)), .. damaged],
            TensorsChecked = reader.Tensors.Count,
            BytesChecked = reader.File.LengthBytes,
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
            Note = problems.Count + damaged.Count == 0 ? Together("every stored byte is the one that was written; nothing was decoded", note) : null,
        };
    }

    /// <summary>Checks every checksum and, when asked, the values and the derivation.</summary>
    /// <param name="path">The artifact.</param>
    /// <param name="against">The original model, to compare decoded tensors with; null to skip.</param>
    /// <param name="rederive">The original model, to compile again with the recorded recipe; null to skip.</param>
    /// <param name="threads">Worker threads; 0 means one per processor.</param>
    /// <param name="basePath">The base of an artifact that was packed with one: also restores its files and checks their hashes; null checks what can be checked without.</param>
    /// <param name="calibration">The calibration data of the compilation, for <paramref name="rederive"/>.</param>
    /// <param name="prepared">A folder with prepared weights, of which those of this artifact are checked too; null to skip.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="cancellation">Stops; nothing is left behind.</param>
    /// <exception cref="ModelPackException">The artifact cannot be opened at all, or the original is not what it was made from; MP1001: no folder <paramref name="prepared"/>.</exception>
    public static VerifyResult Verify(
        string path,
        string? against = null,
        string? rederive = null,
        int threads = 0,
        string? basePath = null,
        string? calibration = null,
        string? prepared = null,
        IProgress<ToolProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        var errors = new List<string>();
        IReadOnlyList<ComparedTensor> differences = [];
        int tensors;
        long bytes;
        string? note = null;
        using (PackReader reader = PackReader.Open(path, basePath, cancellation))
        {
            PackProgressAdapter? adapter = progress is null ? null : new PackProgressAdapter(progress, "verify");
            errors.AddRange(reader.Verify(Pipelines.Threads(threads), adapter, cancellation).Select(p => Describe(path, p)));
            tensors = reader.Tensors.Count;
            bytes = reader.File.LengthBytes;
            if (reader.NeedsBase)
            {
                note = $"checked without the base '{reader.Metadata.GetValueOrDefault("base")}': the stored differences are what was written; --base checks the files too";
            }
            else if (basePath is not null && errors.Count == 0)
            {
                errors.AddRange(FileErrors(reader, Pipelines.Threads(threads), cancellation));
                note = $"checked with the base '{basePath}': the files come back as they were packed";
            }

            (IReadOnlyList<string> damaged, string? about) = CheckPrepared(reader, prepared, cancellation);
            errors.AddRange(damaged);
            note = Together(note, about);
        }

        if (against is not null && errors.Count == 0)
        {
            CompareResult compared = CompareWithOriginal(path, against, basePath, progress, cancellation);
            differences = compared.Tensors;
            errors.AddRange(compared.Tensors.Where(t => t.Note is not null).Select(t => $"{path}: tensor '{t.Name}': {t.Note}"));
            errors.AddRange(compared.Missing.Select(name => $"{path}: tensor '{name}' of the original is missing"));
            errors.AddRange(compared.Extra.Select(name => $"{path}: tensor '{name}' is not in the original"));
        }

        bool? rederived = rederive is null || errors.Count > 0 ? null : Rederive(path, rederive, calibration, threads, progress, cancellation);
        if (rederived == false)
        {
            errors.Add($"{path}: compiling '{rederive}' again with the recorded recipe gives other bytes");
        }

        return new VerifyResult
        {
            Path = path,
            Decoded = true,
            Errors = errors,
            TensorsChecked = tensors,
            BytesChecked = bytes,
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
            Differences = differences,
            Rederived = rederived,
            Note = errors.Count == 0 ? note : null,
        };
    }

    /// <summary>Problems of the weights that are kept for an artifact, and what to say when there are none.</summary>
    private static (IReadOnlyList<string> Problems, string? Note) CheckPrepared(PackReader reader, string? folder, CancellationToken cancellation)
    {
        if (folder is null)
        {
            return ([], null);
        }

        (ImmutableArray<string> problems, int files, long bytes) = PreparedFile.Check(folder, reader.Identity(), cancellation);
        return (problems, string.Create(CultureInfo.InvariantCulture, $"prepared weights in '{folder}': {files} {(files == 1 ? "file" : "files")} of this artifact, {bytes} bytes, as they were written"));
    }

    private static string? Together(string? first, string? second) => first is null || second is null ? first ?? second : $"{first}; {second}";

    private static string[] FileErrors(PackReader reader, int threads, CancellationToken cancellation)
    {
        try
        {
            FileUnpacker.Check(reader, threads, null, cancellation);
            return [];
        }
        catch (ModelPackException e)
        {
            return [e.Line];
        }
    }

    private static string Describe(string path, PackProblem problem) =>
        new ModelPackException(problem.Code, problem.Chunk < 0 ? problem.Message : $"chunk {problem.Chunk}: {problem.Message}", path, problem.Tensor ?? problem.Stream).Line;

    /// <summary>
    /// Compares with what the recorded recipe makes of the original before quantisation: passes may fold, fuse or rename tensors, and
    /// that is not an error.
    /// </summary>
    internal static CompareResult CompareWithOriginal(string path, string original, string? basePath, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        using TensorFile artifact = TensorFile.Open(path, cancellation, basePath);
        if (artifact.Reader is not PackReader reader || !Artifact.IsCompiled(reader))
        {
            using TensorFile file = TensorFile.Open(original, cancellation);
            return Comparison.Compare(file, artifact, progress, cancellation);
        }

        Provenance provenance = Artifact.ReadProvenance(reader);
        var request = new CompileRequest { Input = original, Output = path, Seed = provenance.Seed, Target = provenance.Target };
        ResolvedRecipe recipe = Recipe.Parse(Artifact.ReadRecipe(reader), path).Resolve(PassCatalog.All);
        CheckpointForm? checkpoint = Artifact.ReadCheckpoint(reader);
        using (ImportedModel imported = ModelInput.Import(original, weightsOnly: checkpoint is null, out _, cancellation, ModelInput.Form(checkpoint, path)))
        {
            Model model = new PassManager(recipe.CreatePasses()).Run(imported.Model, Pipelines.CreateContext(request, cancellation, planOnly: true));
            CompareResult compared = Comparison.Compare(TensorFile.BeforeEncoding(original, imported, model), artifact, progress, cancellation);
            if (model.Kind != ModelKind.Onnx || compared.Missing.Count == 0)
            {
                return compared;
            }

            // A small weight that was expected to be quantised and stayed float is inside the graph.
            var inside = Artifact.ReadModel(reader, cancellation).Graph.Initializers.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
            return compared with { Missing = [.. compared.Missing.Where(name => !inside.Contains(name))] };
        }
    }

    private static bool Rederive(string path, string original, string? calibration, int threads, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        string folder = Directory.CreateTempSubdirectory("modelpack-").FullName;
        try
        {
            string again = Path.Combine(folder, "again.mpack");
            string recipeFile = Path.Combine(folder, "recipe.json");
            string? profileFile = null;
            Provenance provenance;
            CheckpointForm? checkpoint;
            using (PackReader reader = PackReader.Open(path))
            {
                provenance = Artifact.ReadProvenance(reader);
                checkpoint = Artifact.ReadCheckpoint(reader);
                File.WriteAllText(recipeFile, Artifact.ReadRecipe(reader));
                if (Artifact.ReadProfile(reader) is HardwareProfile profile)
                {
                    File.WriteAllBytes(profileFile = Path.Combine(folder, "profile.json"), HardwareProfileJson.Write(profile));
                }
            }

            CheckIsOriginal(provenance, original, cancellation);
            var request = new CompileRequest
            {
                Input = original,
                WeightsOnly = checkpoint is null,
                Form = ModelInput.Form(checkpoint, path),
                Output = again,
                Recipe = recipeFile,
                Seed = provenance.Seed,
                Target = provenance.Target,
                AllowFloat = true, // The artifact exists: whoever wanted it knew.
                Accuracy = provenance.Accuracy,
                StockOperators = provenance.StockOperators,
                Profile = profileFile,
                Calibration = calibration ?? GeneratedData.SpecificationOf(provenance.Calibration?.Name),
                CalibrationOptions = new CalibrationOptions { Samples = provenance.Calibration?.Samples ?? 0, Window = provenance.Calibration is { Window: > 0 and int window } ? window : 256 },
                Portable = provenance.Portable,
                Level = Enum.TryParse(provenance.Level, ignoreCase: true, out Codecs.CodecLevel level)
                    ? level
                    : throw new ModelPackException(ErrorCodes.BadProvenance, $"level '{provenance.Level}' is not one this version knows", path),
                Threads = threads,
            };
            ModelCompiler.Compile(request, progress, cancellation);
            using MappedFile a = MappedFile.Open(path);
            using MappedFile b = MappedFile.Open(again);
            return Provenance.Describe(a, cancellation).Xxh128 == Provenance.Describe(b, cancellation).Xxh128;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void CheckIsOriginal(Provenance provenance, string original, CancellationToken cancellation)
    {
        using ImportedModel imported = Containers.Containers.For(original).Import(original, cancellation);
        string[] recorded = [.. provenance.Inputs.Select(i => i.Xxh128)];
        string[] found = [.. imported.Files.Select(f => Provenance.Describe(f, cancellation).Xxh128)];
        if (!recorded.SequenceEqual(found))
        {
            throw new ModelPackException(ErrorCodes.NotTheOriginal, "its content is not what the artifact records as its input", original);
        }
    }
}
