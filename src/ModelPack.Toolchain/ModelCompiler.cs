using System.Diagnostics;
using System.Globalization;
using System.Text;
using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Compiler.Planning;
using ModelPack.Pack;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>A model in, a packed artifact out: the composition root of the compile side.</summary>
public static class ModelCompiler
{
    /// <summary>Most reasons that an error gives.</summary>
    private const int MaxGroups = 6;

    /// <summary>Compiles a model. The output appears whole or not at all.</summary>
    /// <exception cref="ModelPackException">The input, the recipe or the output is bad.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing was written.</exception>
    public static CompileResult Compile(CompileRequest request, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        CheckTarget(request);
        CheckWrapper(request.Wrapper);
        request = request with { LoadedProfile = request.Profile is null ? null : HardwareProfiles.Load(request.Profile) };
        // A named recipe is checked before the work begins; one that is chosen depends on the model.
        ResolvedRecipe? named = request.Recipe is null ? null : Pipelines.ResolveRecipe(request.Recipe, request.Sets);
        CheckTokens(request);
        progress?.Report(new ToolProgress("import", 0, 0, request.Input));
        using ImportedModel imported = ModelInput.Import(request.Input, request.WeightsOnly, out ModelPackException? notBuilt, cancellation, request.Form);
        CheckGraph(imported.Model, request, notBuilt);
        OutputChecks.RefuseToOverwriteInputs(request.Output, imported.Files);

        RecipeChoice? choice = named is null ? Choose(imported.Model, request) : null;
        bool searched = (choice?.Recipe ?? request.Recipe) == Tuner.RecipeName;
        ResolvedRecipe recipe = named ?? Pipelines.ResolveRecipe(choice!.Recipe, request.Sets);
        string? data = request.Calibration ?? recipe.Calibration;
        CalibrationLimits limits = Pipelines.Limits(request.Threads, request.MaxMemoryBytes, progress, cancellation);
        using GeneratedData? generated = request.DryRun ? null : GeneratedData.MakeIfAsked(data, request.Input, imported.Model, limits);
        request = generated is null
            ? request with { Calibration = GeneratedData.Recognizes(data) ? null : data }
            : request with { Calibration = generated.Path, CalibrationOptions = generated.Read(request.CalibrationOptions) };
        recipe = searched ? Tuned(imported, request, progress, cancellation) : recipe;
        using Disposing<ICalibrator>? calibrator = request.Calibration is null ? null
            : new(Calibrator.Open(request.Calibration, request.CalibrationOptions, limits));
        using var scratch = new ScratchFile(request.MaxMemoryBytes / 4);
        PassContext context = Pipelines.CreateContext(request, cancellation, calibrator?.Value, request.DryRun, scratch, progress);
        progress?.Report(new ToolProgress("passes", 0, 0));
        Model model = new PassManager(recipe.CreatePasses()).Run(imported.Model, context);
        bool used = context.Measurements.Any(m => m.Quantity == "calibration_vectors");
        string[] warnings = [.. context.Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Warning).Select(Describe)];
        string[] notes = [.. context.Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Info).Select(Describe)];
        IEnumerable<string> tensors = imported.Model.Graph.Initializers.Concat(model.Graph.Initializers).Select(t => t.Name);
        warnings = [.. InputWarnings(imported.Model, notBuilt), .. recipe.RuleWarnings(tensors).Select(w => $"recipe '{recipe.Name}': {w}"), .. warnings];
        if (generated is not null && used)
        {
            warnings = [.. warnings, GeneratedData.Warning(data!)];
        }

        if (calibrator is not null && !used && !request.DryRun)
        {
            warnings = [.. warnings, $"calibration data were given, and recipe '{recipe.Name}' does not use them"];
        }

        if (request.Target == TargetProfiles.Int8Only && !request.DryRun)
        {
            warnings = [.. warnings, .. IntegerCheck(model, request)];
        }

        if (request.DryRun)
        {
            return DryRun(request, recipe, imported, model, warnings, Stopwatch.GetElapsedTime(start).TotalSeconds) with { RecipeReason = choice?.Reason, Notes = notes };
        }

        KernelTuner? tuner = request.Tune is TimeSpan limit ? new KernelTuner(limit, request.Threads, progress, cancellation) : null;
        request = request with { Tuner = tuner };
        PackContent content = ArtifactContent.Of(model, recipe, request, imported, used ? calibrator!.Value.Info : null, cancellation);
        var options = new PackOptions
        {
            Threads = Pipelines.Threads(request.Threads),
            MaxMemoryBytes = request.MaxMemoryBytes,
            Portable = request.Portable || TargetProfiles.IsPortable(request.Target),
            Level = request.Level,
            Resume = request.EvalTokens is null && Resuming.Wanted(request.Resume, InputBytes(imported)) ? ArtifactContent.ToolVersion : null,
            Progress = progress is null ? null : new PackProgressAdapter(progress, "pack"),
            Cancellation = cancellation,
        };
        string written = request.EvalTokens is null ? request.Output : OutputChecks.TemporaryName(request.Output);
        PackResult packed = PackWriter.Write(written, content, options);
        warnings = packed.Discarded is null ? warnings : [.. warnings, packed.Discarded];
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        long peak = ProcessMemory.PeakBytes();
        var result = new CompileResult
        {
            Input = request.Input,
            Output = request.Output,
            InputFiles = InputFiles(imported),
            Recipe = recipe.Name,
            RecipeReason = choice?.Reason,
            InputBytes = InputBytes(imported),
            OutputBytes = packed.OutputBytes,
            Seconds = seconds,
            PeakMemoryBytes = peak,
            ResumedTensors = packed.ResumedParts,
            DryRun = false,
            Tensors = Tensors(model, packed, context),
            Warnings = warnings,
            Notes = notes,
            Tuning = tuner is null || model.Kind != ModelKind.Onnx ? null : new KernelTuning(tuner.Measured, tuner.Known, tuner.Unmeasured, tuner.Choices, tuner.Changed, tuner.Spent.TotalSeconds),
        };
        if (request.Wrapper is WrapperRequest wrapper && model.Kind == ModelKind.Onnx)
        {
            WriteWrapper(wrapper, result, model);
        }

        return request.EvalTokens is null ? result : EvaluateAndPublish(request, result, written, progress, cancellation);
    }

    /// <summary>Bytes the model takes on disk: the main file whole, of shared external files the parts that tensors use, carried files.</summary>
    internal static long InputBytes(ImportedModel imported)
    {
        bool onnxFile = imported.Model.Kind == ModelKind.Onnx && imported.Model.Checkpoint is null;
        long main = onnxFile ? imported.Files[0].LengthBytes : imported.Files.Sum(f => f.LengthBytes);
        long carried = imported.Model.Files.Where(f => !imported.Files.Any(o => IsRegionOf(f.Data, o))).Sum(f => f.Data.LengthBytes);
        if (!onnxFile)
        {
            return main + carried;
        }

        long external = ModelTensors.Enumerate(imported.Model)
            .Where(t => t.Tensor.TryGetRawData(out TensorData data) && data is FileTensorData file && !ReferenceEquals(file.File, imported.Files[0]))
            .Sum(t => EncodingSizes.SourceBytes(t.Tensor.Encoding));
        return main + external;
    }

    private static string[] InputFiles(ImportedModel imported) => [.. imported.Files.Select(f => f.Path).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    private static void WriteWrapper(WrapperRequest wrapper, CompileResult result, Model model)
    {
        string about = string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(Path.TrimEndingDirectorySeparator(result.Input))}, compiled by recipe {result.Recipe}: {result.InputBytes} bytes became {result.OutputBytes}.");
        string source = WrapperSource.Of(wrapper, result.Output, about, CalibrationSamples.Describe(model.Graph.FreeInputs()), CalibrationSamples.Describe(model.Graph.Outputs));
        using var files = new AtomicFiles();
        files.Add(wrapper.Path, stream => stream.Write(Encoding.UTF8.GetBytes(source)));
        files.Commit();
    }

    private static bool IsRegionOf(TensorData data, MappedFile file) => data is FileTensorData region && ReferenceEquals(region.File, file);

    private static string Describe(Diagnostic d) => d.Tensor is null ? $"{d.Pass}: {d.Message}" : $"{d.Pass}: tensor '{d.Tensor}': {d.Message}";

    private static CompiledTensor[] Tensors(Model model, PackResult packed, PassContext context)
    {
        // What a pass encoded is stored as it came; the pass measured it.
        var measured = context.Measurements.Where(m => m is { Quantity: "relative_error", Tensor: not null }).ToDictionary(m => m.Tensor!, m => m.Value, StringComparer.Ordinal);
        Dictionary<string, string> kinds = TensorKinds.Classify(model);
        Dictionary<string, Tensor> tensors = model.Graph.Initializers.ToDictionary(t => t.Name, StringComparer.Ordinal);
        return
        [
            .. packed.Tensors.Select(p => new CompiledTensor
            {
                Name = p.Name,
                Shape = p.Shape.Dims,
                Kind = kinds.GetValueOrDefault(p.Name, "other"),
                Encoding = UnitSpec.Shorten(p.Encoding),
                InputBytes = tensors.TryGetValue(p.Name, out Tensor? t) ? EncodingSizes.SourceBytes(t.Encoding) : p.InputBytes,
                OutputBytes = p.OutputBytes,
                RelativeError = p.RelativeError ?? measured.GetValueOrDefault(p.Name),
            }),
        ];
    }

    private static CompileResult DryRun(CompileRequest request, ResolvedRecipe recipe, ImportedModel imported, Model model, string[] warnings, double seconds)
    {
        Dictionary<string, string> kinds = TensorKinds.Classify(model);
        CompiledTensor[] tensors =
        [
            .. model.Graph.Initializers.Where(ArtifactContent.IsExternal).Select(t => new CompiledTensor
            {
                Name = t.Name,
                Shape = t.Shape.Dims,
                Kind = kinds.GetValueOrDefault(t.Name, "other"),
                Encoding = UnitSpec.Shorten(t.Encoding.Describe()),
                InputBytes = EncodingSizes.SourceBytes(t.Encoding),
                OutputBytes = EncodingSizes.EncodedBytes(t.Encoding),
            }),
        ];
        long input = InputBytes(imported);
        long output = input - tensors.Sum(t => t.InputBytes) + tensors.Sum(t => t.OutputBytes);
        return new CompileResult
        {
            Input = request.Input,
            Output = request.Output,
            InputFiles = InputFiles(imported),
            Recipe = recipe.Name,
            InputBytes = input,
            OutputBytes = output,
            Seconds = seconds + WorkEstimate.Seconds(tensors, Pipelines.Threads(request.Threads)),
            PeakMemoryBytes = Math.Min(request.MaxMemoryBytes, WorkEstimate.PeakBytes(tensors, Pipelines.Threads(request.Threads), ProcessMemory.PeakBytes())),
            DryRun = true,
            Tensors = tensors,
            Warnings = warnings,
        };
    }

    /// <summary>What keeps the model from running on integers: an error, or warnings where the user wants the artifact all the same.</summary>
    /// <exception cref="ModelPackException">MP2240.</exception>
    private static IEnumerable<string> IntegerCheck(Model model, CompileRequest request)
    {
        IReadOnlyList<IntegerObstacle> obstacles = IntegerLegality.Find(model);
        if (obstacles.Count > 0 && !request.AllowFloat)
        {
            string[] groups = [.. obstacles.GroupBy(o => (o.Op, o.Reason)).Select(g => $"{(g.Count() == 1 || g.First().IsInterface ? g.First().Subject : $"{g.Count()} {g.Key.Op}")} {g.Key.Reason}")];
            string more = groups.Length > MaxGroups ? $"; and {groups.Length - MaxGroups} more reasons" : "";
            throw new ModelPackException(
                ErrorCodes.NotInteger,
                $"{obstacles.Count} nodes, inputs or outputs cannot run on 8-bit integers alone: {string.Join("; ", groups.Take(MaxGroups))}{more} (--allow-float compiles it and lists all)",
                request.Input);
        }

        return obstacles.Select(o => $"int8-only: {o.Subject} {o.Reason}");
    }

    private static RecipeChoice Choose(Model model, CompileRequest request) =>
        request.TuneTarget is null ? RecipeChoice.For(model, request.Calibration is not null, request.Target) : new(Tuner.RecipeName, "a target was given");

    private static void CheckTarget(CompileRequest request)
    {
        bool auto = request.Recipe == Tuner.RecipeName;
        if (request.Recipe is not null && auto == request.TuneTarget is null)
        {
            throw new ModelPackException(
                ErrorCodes.BadTuneTarget,
                auto ? "recipe 'auto' needs to know what to reach: --target-bits 4.25, --target-size 0.3x or --max-loss 1%" : $"recipe '{request.Recipe}' has no target to reach: only 'auto' has");
        }
    }

    private static void CheckWrapper(WrapperRequest? wrapper)
    {
        if (wrapper is not null)
        {
            OutputChecks.CheckWritable(wrapper.Path);
            if (!Identifiers.IsQualifiedName(wrapper.ClassName))
            {
                throw new ModelPackException(ErrorCodes.BadClassName, $"'{wrapper.ClassName}' cannot be the name of a class in C#", wrapper.Path);
            }
        }
    }

    private static ResolvedRecipe Tuned(ImportedModel imported, CompileRequest request, IProgress<ToolProgress>? progress, CancellationToken cancellation) => Tuner.Search(
        imported,
        new TuneRequest
        {
            Input = request.Input,
            Output = request.Output,
            Target = request.TuneTarget!.Value,
            Data = request.Calibration,
            Options = request.CalibrationOptions,
            Sets = request.Sets,
            MaxMemoryBytes = request.MaxMemoryBytes,
            Threads = request.Threads,
        },
        progress,
        cancellation).Recipe.Resolve(PassCatalog.All);

    /// <summary>What needs a graph and is asked for in vain: an error before the work, not after it.</summary>
    private static void CheckGraph(Model model, CompileRequest request, ModelPackException? notBuilt)
    {
        if (request.Form != GraphForm.Full && model.Checkpoint is null)
        {
            throw notBuilt ?? new ModelPackException(ErrorCodes.GraphNotBuilt, "only graphs that are built for a checkpoint folder can take keys and values of earlier tokens", request.Input);
        }

        if (request.EvalTokens is not null && model.Kind != ModelKind.Onnx)
        {
            throw notBuilt ?? new ModelPackException(ErrorCodes.ArtifactWithoutGraph, "weights alone cannot be run, so perplexity cannot be measured", request.Input);
        }
    }

    private static IEnumerable<string> InputWarnings(Model model, ModelPackException? notBuilt)
    {
        if (notBuilt is not null)
        {
            yield return $"{notBuilt.Message} ({notBuilt.Code}): the artifact has weights only and cannot be run";
        }

        if (ModelInput.CarriedWarning(model) is string carried)
        {
            yield return carried;
        }

        foreach (string warning in ModelInput.QuantizedWarnings(model))
        {
            yield return warning;
        }
    }

    /// <summary>A missing token file is an error before the work, not after it.</summary>
    private static void CheckTokens(CompileRequest request)
    {
        if (request.EvalTokens is string tokens)
        {
            TokenFile.Open(tokens).Dispose();
        }
    }

    /// <summary>Measures under a temporary name and renames at the end: a failed or cancelled command leaves nothing behind.</summary>
    private static CompileResult EvaluateAndPublish(CompileRequest request, CompileResult result, string written, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        try
        {
            CompileResult evaluated = Evaluate(request, result, written, progress, cancellation);
            File.Move(written, request.Output, overwrite: true);
            return evaluated;
        }
        finally
        {
            File.Delete(written);
        }
    }

    private static CompileResult Evaluate(CompileRequest request, CompileResult result, string written, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        double? Perplexity(string model) => Evaluation.Perplexity(model, request.EvalTokens!, request.EvalWindow, request.Threads, progress: progress, cancellation: cancellation).Perplexity;
        double? before = Perplexity(request.Input);
        double? after = Perplexity(written);
        return result with
        {
            PerplexityBefore = before,
            PerplexityAfter = after,
            EvaluationSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
        };
    }
}
