using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Containers.Gguf;

/// <summary>GGUF files of llama.cpp and ggml: named tensors, many of them in quantised blocks, and typed metadata. Read, not written.</summary>
internal sealed class GgufContainer : IContainer
{
    public string Id => "gguf";

    public string Summary => "named tensors in ggml's block types with typed metadata (.gguf)";

    public bool Recognizes(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        if (Path.GetExtension(path).Equals(".gguf", StringComparison.OrdinalIgnoreCase))
        {
            return true;
        }

        try
        {
            using MappedFile file = MappedFile.Open(path);
            Span<byte> start = stackalloc byte[4];
            if (file.LengthBytes < start.Length)
            {
                return false;
            }

            file.Read(0, start);
            return start.SequenceEqual(GgufHeader.Magic);
        }
        catch (ModelPackException)
        {
            return false;
        }
    }

    public ImportedModel Import(string path, CancellationToken cancellation = default)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            GgufHeader header = GgufHeader.Read(file, cancellation);
            var formats = new GgufFormats(file, header);
            var model = new Model
            {
                Kind = ModelKind.Safetensors,
                Graph = new Graph { Initializers = [.. header.Tensors.Select(t => Tensor(file, t, formats))] },
                Metadata =
                [
                    KeyValuePair.Create("gguf.version", header.Version.ToString(CultureInfo.InvariantCulture)),
                    .. header.Metadata,
                ],
            };
            return new ImportedModel(model, [file]);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public IReadOnlyList<FileMap> Map(string path, CancellationToken cancellation = default)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            GgufHeader header = GgufHeader.Read(file, cancellation);
            var formats = new GgufFormats(file, header);
            return [new FileMap(file, [.. header.Tensors.Where(t => t.LengthBytes > 0).Select(t => Range(t, formats))])];
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public IReadOnlyList<string> Export(Model model, string path, Func<Tensor, TensorData> dense, CancellationToken cancellation = default) =>
        throw new ModelPackException(ErrorCodes.ExportNotPossible, "GGUF files are read, not written", path);

    private static Tensor Tensor(MappedFile file, GgufTensor t, GgufFormats formats)
    {
        TensorData data = file.Region(t.OffsetBytes, t.LengthBytes);
        return t.Type.DType != DType.Undefined
            ? Compiler.Tensor.Raw(t.Name, t.Type.DType, t.Shape, data)
            : new Tensor
            {
                Name = t.Name,
                DType = DType.F32,
                Shape = t.Shape,
                Encoding = formats.Find(t) is var (format, streams)
                    ? new DenseEncoding(format, t.Shape, Cut(data, streams))
                    : new DenseEncoding(formats.Listed(t), t.Shape, [new EncodedStream(t.Type.IsMatrix ? "codes" : "blocks", data)]),
            };
    }

    private static ImmutableArray<EncodedStream> Cut(TensorData data, ImmutableArray<(string Role, long Bytes)> streams)
    {
        var cut = ImmutableArray.CreateBuilder<EncodedStream>(streams.Length);
        long at = 0;
        foreach ((string role, long bytes) in streams)
        {
            cut.Add(new EncodedStream(role, bytes == 0 ? TensorData.Empty : data.Slice(at, bytes)));
            at += bytes;
        }

        return cut.MoveToImmutable();
    }

    private static TensorRange Range(GgufTensor t, GgufFormats formats)
    {
        if (t.Type.DType != DType.Undefined)
        {
            return new TensorRange(t.Name, t.Type.DType, t.Shape, t.OffsetBytes, t.LengthBytes);
        }

        // Zeros behind the last stream of TL2 belong to the framing.
        return formats.Find(t) is var (format, streams)
            ? new TensorRange(t.Name, DType.F32, t.Shape, t.OffsetBytes, streams.Sum(s => s.Bytes)) { Format = format.ToString(), Records = t.Type.Records }
            : new TensorRange(t.Name, DType.U8, t.Type.IsMatrix ? new Shape(t.LengthBytes) : Bytes(t), t.OffsetBytes, t.LengthBytes) { Records = t.Type.Records };
    }

    /// <summary>Shape with the last axis in bytes.</summary>
    private static Shape Bytes(GgufTensor t) => new([.. t.Shape.Dims.AsSpan()[..^1], t.Shape.Columns / t.Type.BlockValues * t.Type.BlockBytes]);
}
