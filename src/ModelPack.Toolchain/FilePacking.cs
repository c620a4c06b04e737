using System.Diagnostics;
using ModelPack.Codecs;
using ModelPack.Compiler;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Lossless packing of model files: the files come back byte for byte.</summary>
public static class FilePacking
{
    /// <summary>Packs a file (or a checkpoint folder, or an .onnx file with its external data) into an artifact.</summary>
    /// <param name="input">Any file. Tensors of known model formats are coded by dtype; everything else is coded as bytes.</param>
    /// <param name="output">The artifact to write.</param>
    /// <param name="threads">Worker threads; 0 means one per processor. Never changes the output.</param>
    /// <param name="maxMemoryBytes">Memory that may be used for buffers.</param>
    /// <param name="level">How hard the lossless codecs try.</param>
    /// <param name="portable">Only codecs that decode fast on every machine, not those made for AVX-512.</param>
    /// <param name="against">
    /// The base: another version of the input, as a file, checkpoint folder or packed artifact. Tensors that are smaller as differences from it are stored so, and unpacking needs it again. Null for none.
    /// </param>
    /// <param name="progress">Told about every tile.</param>
    /// <param name="cancellation">Stops; nothing is left behind.</param>
    /// <exception cref="ModelPackException">The input cannot be read or the output cannot be written.</exception>
    public static PackFileResult Pack(
        string input,
        string output,
        int threads = 0,
        long maxMemoryBytes = 1L << 30,
        CodecLevel level = CodecLevel.Default,
        bool portable = false,
        string? against = null,
        IProgress<ToolProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        IReadOnlyList<FileMap> maps = Map(input, cancellation);
        try
        {
            using DeltaBase? opened = against is null ? null : OpenBase(against, cancellation);
            OutputChecks.RefuseToOverwriteInputs(output, maps.Select(m => m.File));
            CheckBaseIsNotOutput(output, against);
            var options = new PackOptions
            {
                Threads = Pipelines.Threads(threads),
                MaxMemoryBytes = maxMemoryBytes,
                Portable = portable,
                Level = level,
                Progress = progress is null ? null : new PackProgressAdapter(progress, "pack"),
                Cancellation = cancellation,
            };
            string root = Directory.Exists(input) ? input : Path.GetDirectoryName(Path.GetFullPath(input)) ?? ".";
            PackResult packed = FilePacker.Write(output, [.. maps.Select(m => ToSource(root, m, whole: opened is not null))], options, folder: Directory.Exists(input), opened);
            return Result(input, output, maps.Sum(m => m.File.LengthBytes), packed.OutputBytes, [output], start, unpacking: false);
        }
        finally
        {
            foreach (FileMap map in maps)
            {
                map.File.Dispose();
            }
        }
    }

    /// <summary>
    /// Restores what <see cref="Pack"/> packed. For an artifact made by <c>compile</c>: writes dense tensors in the input's container instead.
    /// </summary>
    /// <param name="artifact">The artifact.</param>
    /// <param name="output">The main file to write, or the folder of a checkpoint.</param>
    /// <param name="dtype">For compiled artifacts: float dtype of the dense tensors; null keeps each tensor's own.</param>
    /// <param name="fp8">
    /// For compiled artifacts: weights stored as <c>fp8(element=e4m3fn,scope=tile)</c> are not made dense but written as they are, codes and <c>_scale_inv</c>, the way FP8 checkpoints have them.
    /// </param>
    /// <param name="threads">Worker threads; 0 means one per processor.</param>
    /// <param name="against">The base, for an artifact that was packed with one.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="cancellation">Stops; nothing is left behind.</param>
    /// <exception cref="ModelPackException">MP1315, MP1316, MP1318: the base is missing, another one, or not needed. The artifact is damaged or the output cannot be written.</exception>
    public static PackFileResult Unpack(
        string artifact,
        string output,
        DType? dtype = null,
        bool fp8 = false,
        int threads = 0,
        string? against = null,
        IProgress<ToolProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using PackReader reader = PackReader.Open(artifact, against, cancellation);
        CheckBaseIsNotOutput(output, against);
        if (Artifact.IsCompiled(reader))
        {
            IReadOnlyList<string> files = DenseExport.Write(reader, output, dtype, fp8, progress, cancellation);
            return Result(artifact, output, reader.File.LengthBytes, files.Sum(f => new FileInfo(f).Length), files, start, unpacking: true);
        }

        if (dtype is not null || fp8)
        {
            throw new ModelPackException(ErrorCodes.NotACompiledArtifact, "was made by 'pack': its files come back byte for byte, so --dtype does not apply", artifact);
        }

        PackProgressAdapter? adapter = progress is null ? null : new PackProgressAdapter(progress, "unpack");
        IReadOnlyList<string> restored = FileUnpacker.Extract(reader, output, Pipelines.Threads(threads), adapter, cancellation);
        return Result(artifact, output, reader.File.LengthBytes, restored.Sum(f => new FileInfo(f).Length), restored, start, unpacking: true);
    }

    private static void CheckBaseIsNotOutput(string output, string? against)
    {
        if (against is not null && Path.GetFullPath(against) == Path.GetFullPath(output))
        {
            throw new ModelPackException(ErrorCodes.OutputIsInput, "the output is the base", output);
        }
    }

    private static IReadOnlyList<FileMap> Map(string input, CancellationToken cancellation)
    {
        if (!File.Exists(input) && !Directory.Exists(input))
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, "no such file or folder", input);
        }

        IContainer? container = Containers.Containers.All.FirstOrDefault(c => c.Recognizes(input));
        if (container is null && Directory.Exists(input))
        {
            throw new ModelPackException(ErrorCodes.UnknownFileKind, "not a checkpoint folder", input);
        }

        // A file that is no model still packs, as bytes; a damaged model is an error, since its framing cannot be told from its weights.
        return container is null ? [new FileMap(MappedFile.Open(input), [])] : container.Map(input, cancellation);
    }

    /// <summary>The base, hashed and with its tensors found.</summary>
    private static DeltaBase OpenBase(string path, CancellationToken cancellation)
    {
        if (File.Exists(path) && PackReader.IsArtifact(path))
        {
            return DeltaBase.OfPacked(path);
        }

        string root = Directory.Exists(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path)) ?? ".";
        return DeltaBase.OfFiles(path, [.. Map(path, cancellation).Select(m => ToSource(root, m, whole: true))], cancellation);
    }

    private static PackedFileSource ToSource(string root, FileMap map, bool whole) => new(
        Path.GetRelativePath(root, map.File.Path).Replace('\\', '/'),
        map.File,
        whole && map.Ranges.IsEmpty && map.File.LengthBytes > 0
            ? [DeltaBase.WholeFile(map.File.LengthBytes)]
            : [.. map.Ranges.Select(r => ToRange(r, whole))]);

    /// <summary>For comparison with a base, blocks are bytes: their number format has no differences.</summary>
    private static PackedFileRange ToRange(TensorRange r, bool plain) => plain && r.Format is not null
        ? new PackedFileRange(r.Name, DType.U8, new Shape(r.LengthBytes), r.OffsetBytes, r.LengthBytes) { Records = r.Records }
        : new PackedFileRange(r.Name, r.DType, r.Shape, r.OffsetBytes, r.LengthBytes) { Format = r.Format, Records = r.Records };

    private static PackFileResult Result(string input, string output, long inputBytes, long outputBytes, IReadOnlyList<string> files, long start, bool unpacking)
    {
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        long original = unpacking ? outputBytes : inputBytes;
        long packed = unpacking ? inputBytes : outputBytes;
        return new PackFileResult
        {
            Input = input,
            Output = output,
            InputBytes = inputBytes,
            OutputBytes = outputBytes,
            Ratio = packed == 0 ? 0 : (double)original / packed,
            Seconds = seconds,
            Gbps = seconds == 0 ? 0 : original / seconds / 1e9,
            Files = files,
        };
    }
}
