using System.Buffers;
using System.Diagnostics;
using ModelPack.Compiler;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Takes single tensors, or rows of them, out of an artifact: only the chunks that hold them are read.</summary>
public static class TensorExtraction
{
    /// <summary>Names of all tensors of an artifact.</summary>
    /// <exception cref="ModelPackException">The artifact cannot be opened.</exception>
    public static IReadOnlyList<string> Names(string artifact)
    {
        using PackReader reader = PackReader.Open(artifact);
        return [.. reader.Tensors.Select(t => t.Name)];
    }

    /// <summary>
    /// Writes tensors of an artifact. The output's name decides the form: <c>.npy</c> a NumPy array, <c>.bin</c> the bytes alone (little-endian, row-major), anything else a safetensors file with the
    /// tensors under their names. It appears whole or not at all.
    /// </summary>
    /// <param name="artifact">An artifact made by <c>pack</c> or <c>compile</c>.</param>
    /// <param name="output">The file to write.</param>
    /// <param name="names">The tensors; exactly one for <c>.npy</c> and <c>.bin</c>.</param>
    /// <param name="rows">Rows of the first axis to take of each: first and end, end excluded, null for up to the last; null for all rows.</param>
    /// <param name="dtype">Element type to convert floating-point tensors to; null keeps each tensor's own, for packed files bit for bit.</param>
    /// <param name="against">The base, for an artifact that was packed with one.</param>
    /// <param name="threads">Decoding threads; 0 means one per processor.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="cancellation">Stops; nothing is left behind.</param>
    /// <exception cref="ArgumentException">Not exactly one tensor for a form that holds one.</exception>
    /// <exception cref="ModelPackException">
    /// MP4108 no such tensor, MP4109 no such rows, MP1069 .npy has no such element type, MP1140 safetensors has not; a damaged artifact; the output cannot be written.
    /// </exception>
    public static PackFileResult Extract(
        string artifact,
        string output,
        IReadOnlyList<string> names,
        (long First, long? End)? rows = null,
        DType? dtype = null,
        string? against = null,
        int threads = 0,
        IProgress<ToolProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        string form = FormOf(output);
        if (form != "safetensors" && names.Count != 1)
        {
            throw new ArgumentException($"a {form} file holds one tensor, not {names.Count}", nameof(names));
        }

        using PackReader reader = PackReader.Open(artifact, against, cancellation);
        OutputChecks.RefuseToOverwriteInputs(output, [reader.File]);
        progress?.Report(new ToolProgress("unpack", 0, 0, output));
        Tensor[] tensors = [.. names.Distinct(StringComparer.Ordinal).Select(n => Take(reader, n, rows, dtype, Pipelines.Threads(threads), cancellation))];
        Write(form, output, tensors, cancellation);
        long bytes = tensors.Sum(t => t.DType.HasFixedWidth() ? t.DType.StorageBytes(t.Shape.ElementCount) : 0);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return new PackFileResult
        {
            Input = artifact,
            Output = output,
            InputBytes = reader.StoredBytesRead,
            OutputBytes = new FileInfo(output).Length,
            Ratio = reader.StoredBytesRead == 0 ? 0 : (double)bytes / reader.StoredBytesRead,
            Seconds = seconds,
            Gbps = seconds == 0 ? 0 : bytes / seconds / 1e9,
            Files = [output],
        };
    }

    /// <summary>How a file of this name holds tensors: <c>npy</c>, <c>bin</c> or <c>safetensors</c>.</summary>
    public static string FormOf(string path) => Path.GetExtension(path).ToUpperInvariant() switch
    {
        ".NPY" => "npy",
        ".BIN" => "bin",
        _ => "safetensors",
    };

    private static Tensor Take(PackReader reader, string name, (long First, long? End)? rows, DType? dtype, int threads, CancellationToken cancellation)
    {
        string path = reader.File.Path;
        PackTensor tensor = reader.Find(name) ?? throw new ModelPackException(ErrorCodes.UnknownTensor, $"has no tensor '{name}'", path);
        DType target = dtype is DType wanted && tensor.DType.IsFloat() && tensor.DType != DType.F64 ? wanted : tensor.DType;
        try
        {
            if (rows is not (long first, var last))
            {
                return Tensor.Raw(name, target, tensor.Shape, reader.DenseData(tensor, target, null, threads, cancellation));
            }

            long end = last ?? (tensor.Shape.Rank == 0 ? first : tensor.Shape[0]);
            RowRange range = RowRange.Of(target, tensor.Shape, first, Math.Max(-1, end - first));
            return Tensor.Raw(name, target, range.Shape, reader.DenseData(tensor, target, range, threads, cancellation));
        }
        catch (ModelPackException e) when (e.Tensor is null)
        {
            throw new ModelPackException(e.Code, e.Message, e.Path ?? path, name, innerException: e);
        }
    }

    private static void Write(string form, string output, Tensor[] tensors, CancellationToken cancellation)
    {
        Tensor first = tensors[0];
        switch (form)
        {
            case "npy" when !NpyFile.CanHold(first.DType):
                string hint = first.DType.IsFloat() ? "; --dtype f32 converts it, .safetensors and .bin keep it" : "; .safetensors and .bin keep it";
                throw new ModelPackException(ErrorCodes.NpyCannotHold, $".npy has no element type for {first.DType.Name()}{hint}", output, first.Name);
            case "npy":
                NpyFile.Write(output, first.DType, first.Shape, Dense(first), cancellation);
                break;
            case "bin":
                WriteBytes(output, Dense(first), cancellation);
                break;
            default:
                var model = new Model { Kind = ModelKind.Safetensors, Graph = new Graph { Initializers = [.. tensors] } };
                Containers.Containers.All.First(c => c.Id == "safetensors").Export(model, output, Dense, cancellation);
                break;
        }
    }

    private static TensorData Dense(Tensor tensor) => tensor.TryGetRawData(out TensorData data) ? data : TensorData.Empty;

    private static void WriteBytes(string path, TensorData data, CancellationToken cancellation)
    {
        using var files = new AtomicFiles();
        files.Add(path, stream =>
        {
            byte[] tile = ArrayPool<byte>.Shared.Rent(1 << 20);
            for (long at = 0; at < data.LengthBytes; at += tile.Length)
            {
                cancellation.ThrowIfCancellationRequested();
                Span<byte> part = tile.AsSpan(0, (int)Math.Min(tile.Length, data.LengthBytes - at));
                data.Read(at, part);
                stream.Write(part);
            }

            ArrayPool<byte>.Shared.Return(tile);
        });
        files.Commit();
    }
}
