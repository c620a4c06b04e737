using System.Buffers.Binary;
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
            var model = new Model
            {
                Kind = ModelKind.Safetensors,
                Graph = new Graph { Initializers = [.. header.Tensors.Select(t => Tensor(file, t))] },
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
            return [new FileMap(file, [.. header.Tensors.Where(t => t.LengthBytes > 0).Select(t => Range(file, t))])];
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public IReadOnlyList<string> Export(Model model, string path, Func<Tensor, TensorData> dense, CancellationToken cancellation = default) =>
        throw new ModelPackException(ErrorCodes.ExportNotPossible, "GGUF files are read, not written", path);

    private static Tensor Tensor(MappedFile file, GgufTensor t)
    {
        TensorData data = file.Region(t.OffsetBytes, t.LengthBytes);
        return t.Type.DType != DType.Undefined
            ? Compiler.Tensor.Raw(t.Name, t.Type.DType, t.Shape, data)
            : new Tensor
            {
                // Types without a number format of their own keep their name: they can be listed and packed, not decoded.
                Name = t.Name,
                DType = DType.F32,
                Shape = t.Shape,
                Encoding = new DenseEncoding(Format(file, t) ?? new UnitSpec("gguf-" + t.Type.Name), t.Shape, [new EncodedStream(t.Type.IsMatrix ? "codes" : "blocks", data)]),
            };
    }

    private static TensorRange Range(MappedFile file, GgufTensor t) => t.Type.DType != DType.Undefined
        ? new TensorRange(t.Name, t.Type.DType, t.Shape, t.OffsetBytes, t.LengthBytes)
        : Format(file, t) is UnitSpec format
            ? new TensorRange(t.Name, DType.F32, t.Shape, t.OffsetBytes, t.LengthBytes) { Format = format.ToString(), Records = t.Type.Records }
            : new TensorRange(t.Name, DType.U8, t.Type.IsMatrix ? new Shape(t.LengthBytes) : Bytes(t), t.OffsetBytes, t.LengthBytes) { Records = t.Type.Records };

    /// <summary>The number format that reads a tensor of blocks or a matrix; null when there is none.</summary>
    private static UnitSpec? Format(MappedFile file, GgufTensor t)
    {
        if (t.Type.Format is string format)
        {
            return new UnitSpec(format);
        }

        // Rows of whole blocks of 128 alone are laid out as the number format has them.
        if (t.Type.Name != "i2_s" || t.Shape.Columns % 128 != 0)
        {
            return null;
        }

        Span<byte> bytes = stackalloc byte[sizeof(float)];
        file.Read(t.OffsetBytes + t.LengthBytes, bytes);
        float scale = BinaryPrimitives.ReadSingleLittleEndian(bytes);
        return float.IsFinite(scale) && scale >= 0 ? new UnitSpec("bitnet-i2_s", ("scale", scale.ToString("R", CultureInfo.InvariantCulture))) : null;
    }

    /// <summary>Shape with the last axis in bytes.</summary>
    private static Shape Bytes(GgufTensor t) => new([.. t.Shape.Dims.AsSpan()[..^1], t.Shape.Columns / t.Type.BlockValues * t.Type.BlockBytes]);
}
