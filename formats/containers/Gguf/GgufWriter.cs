using System.Text;

namespace ModelPack.Containers.Gguf;

/// <summary>A tensor for a GGUF file.</summary>
/// <param name="Name">At most 63 bytes: ggml keeps 64 with the zero behind it.</param>
/// <param name="Type">ggml's name of the type in lower case, for example <c>q8_0</c>.</param>
/// <param name="Shape">Outermost dimension first; its last one is a multiple of the type's block.</param>
/// <param name="Data">The bytes, in the type's blocks.</param>
public sealed record GgufOutputTensor(string Name, string Type, Shape Shape, TensorData Data);

/// <summary>Writes GGUF files, version 3, little-endian.</summary>
/// <remarks>Source: ggml, <c>docs/gguf.md</c>.</remarks>
public static class GgufWriter
{
    /// <summary>Tensors begin at multiples of it: ggml's default, so that no key has to say it.</summary>
    public const int Alignment = 32;

    private const int MaxNameBytes = 63;
    private const int MaxDimensions = 4;

    /// <summary>Values in a block of a type; 1 for plain numbers, null for a type that is not known or not written.</summary>
    public static int? BlockValues(string type) => Find(type)?.BlockValues;

    /// <summary>Writes a file, reading tensors as it goes.</summary>
    /// <param name="output">From its present position on.</param>
    /// <param name="metadata">The header's pairs.</param>
    /// <param name="tensors">Tensors in file order.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP4107: a tensor that a GGUF file cannot hold.</exception>
    public static void Write(Stream output, GgufMetadata metadata, IReadOnlyList<GgufOutputTensor> tensors, CancellationToken cancellation = default)
    {
        byte[] header = Header(metadata, tensors);
        output.Write(header);
        Pad(output, header.Length);
        foreach (GgufOutputTensor tensor in tensors)
        {
            TensorCopy.Write(output, tensor.Name, tensor.Data, cancellation);
            Pad(output, tensor.Data.LengthBytes);
        }
    }

    private static byte[] Header(GgufMetadata metadata, IReadOnlyList<GgufOutputTensor> tensors)
    {
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        writer.Write(GgufHeader.Magic);
        writer.Write(3u);
        writer.Write((ulong)tensors.Count);
        writer.Write((ulong)metadata.Count);
        writer.Write(metadata.Bytes);
        var names = new HashSet<string>(StringComparer.Ordinal);
        ulong at = 0;
        foreach (GgufOutputTensor tensor in tensors)
        {
            GgufType type = Check(tensor, names);
            byte[] name = Encoding.UTF8.GetBytes(tensor.Name);
            writer.Write((ulong)name.Length);
            writer.Write(name);
            writer.Write((uint)tensor.Shape.Rank);
            foreach (long dimension in tensor.Shape.Dims.Reverse())
            {
                writer.Write((ulong)dimension);
            }

            writer.Write((uint)type.Id);
            writer.Write(at);
            at += (ulong)(tensor.Data.LengthBytes + Padding(tensor.Data.LengthBytes));
        }

        writer.Flush();
        return stream.ToArray();
    }

    private static GgufType Check(GgufOutputTensor tensor, HashSet<string> names)
    {
        ModelPackException Fail(string detail) => new(ErrorCodes.ExportNotPossible, detail, tensor: tensor.Name);
        GgufType type = Find(tensor.Type) ?? throw Fail($"'{tensor.Type}' is no type of GGUF files");
        if (!names.Add(tensor.Name) || Encoding.UTF8.GetByteCount(tensor.Name) > MaxNameBytes)
        {
            throw Fail($"a GGUF file cannot have a tensor of this name: it is there twice or longer than {MaxNameBytes} bytes");
        }

        if (tensor.Shape.Rank > MaxDimensions || tensor.Shape.Columns % type.BlockValues != 0 || type.Bytes(tensor.Shape, tensor.Shape.ElementCount) != tensor.Data.LengthBytes)
        {
            throw Fail($"{type.Name}{tensor.Shape} in {tensor.Data.LengthBytes} bytes: blocks of {type.BlockValues} values in {type.BlockBytes} bytes, at most {MaxDimensions} dimensions");
        }

        return type;
    }

    private static GgufType? Find(string type) => GgufType.All.FirstOrDefault(t => t.Name == type && !t.IsMatrix);

    private static void Pad(Stream output, long written)
    {
        Span<byte> zeros = stackalloc byte[Alignment];
        zeros.Clear();
        output.Write(zeros[..(int)Padding(written)]);
    }

    private static long Padding(long written) => (Alignment - (written % Alignment)) % Alignment;
}
