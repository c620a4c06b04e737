using System.Buffers.Binary;
using System.Text;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// The execution layout of a weight with a header that says what it is: what an operator is given as one tensor of bytes. Header, little-endian: "MPKM", version (2 with f16 scales, else 1), rows, columns, length of the format's text (u32 each), the text
/// in UTF-8; then zeros up to <see cref="HeaderBytes"/>, and the tiles.
/// </summary>
public static class PackedMatrix
{
    private const int TextOffset = 20;

    private const uint Version = 1;

    /// <summary>Of tiles with f16 scales, which version 1 has as f32.</summary>
    private const uint HalfScalesVersion = 2;

    private static ReadOnlySpan<byte> Magic => "MPKM"u8;

    /// <summary>Length of the header, a multiple of 64: by format, not by tensor, so that it is known before the tensor is encoded.</summary>
    public static int HeaderBytes(UnitSpec format) => format.Id == "palette" ? 4608 : 512;

    /// <summary>Bytes with the header.</summary>
    public static long Bytes(MatMulWeight weight) => HeaderBytes(weight.Format) + weight.Bytes;

    /// <summary>The weight whose execution layout with its header has a length, which artifacts say: today's, or with the f32 scales that those made before have.</summary>
    /// <param name="matrix">The stored matrix.</param>
    /// <param name="lengthBytes">The length.</param>
    /// <param name="expectedBytes">The length of today's layout; 0 where no kernel reads the matrix.</param>
    /// <returns>Null where there is none of that length.</returns>
    public static MatMulWeight? OfLength(DenseEncoding matrix, long lengthBytes, out long expectedBytes)
    {
        MatMulWeight? weight = MatMulWeight.TryCreate(matrix);
        expectedBytes = weight is null ? 0 : Bytes(weight);
        if (weight is null || expectedBytes == lengthBytes)
        {
            return weight;
        }

        MatMulWeight? earlier = weight.WithF32Scales();
        weight.Dispose();
        return IfLength(earlier, lengthBytes);
    }

    /// <summary>Writes the header.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="header"><see cref="HeaderBytes"/> bytes.</param>
    public static void WriteHeader(MatMulWeight weight, Span<byte> header)
    {
        byte[] text = Encoding.UTF8.GetBytes(weight.Format.ToString());
        header.Clear();
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], weight.Layout.Scale == TileScale.F16 ? HalfScalesVersion : Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], (uint)weight.Layout.Rows);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], (uint)weight.Layout.Columns);
        BinaryPrimitives.WriteUInt32LittleEndian(header[16..], (uint)text.Length);
        text.CopyTo(header[TextOffset..]);
    }

    /// <summary>Reads the header; null unless it is one and the tensor is as long as it says.</summary>
    /// <param name="data">Start of the tensor.</param>
    /// <param name="lengthBytes">Its length.</param>
    /// <exception cref="ModelPackException">MP1021, MP1022: the format is damaged.</exception>
    public static unsafe MatMulWeight? Read(byte* data, long lengthBytes)
    {
        if (lengthBytes < TextOffset)
        {
            return null;
        }

        var header = new ReadOnlySpan<byte>(data, (int)Math.Min(lengthBytes, 4608));
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
        uint rows = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        uint columns = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(header[16..]);
        if (!header[..4].SequenceEqual(Magic) || version is not (Version or HalfScalesVersion) || rows > int.MaxValue || columns > int.MaxValue || length > header.Length - TextOffset)
        {
            return null;
        }

        var format = UnitSpec.Parse(Encoding.UTF8.GetString(header.Slice(TextOffset, (int)length)));
        MatMulWeight? weight = MatMulWeight.TryCreate(format, (int)rows, (int)columns);
        if (version == Version && weight?.WithF32Scales() is MatMulWeight earlier)
        {
            weight.Dispose();
            weight = earlier;
        }

        return IfLength(weight, lengthBytes);
    }

    /// <summary>Null, and the weight disposed, unless it has that length.</summary>
    private static MatMulWeight? IfLength(MatMulWeight? weight, long lengthBytes)
    {
        if (weight is not null && Bytes(weight) != lengthBytes)
        {
            weight.Dispose();
            return null;
        }

        return weight;
    }
}
