using System.Buffers.Binary;
using System.Text;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// The execution layout of a weight with a header that says what it is: what an operator is given as one tensor of bytes. Header, little-endian: "MPKM", version 1, rows, columns, length of the format's text (u32 each), the text
/// in UTF-8; then zeros up to <see cref="HeaderBytes"/>, and the tiles.
/// </summary>
public static class PackedMatrix
{
    private const int TextOffset = 20;

    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "MPKM"u8;

    /// <summary>Length of the header, a multiple of 64: by format, not by tensor, so that it is known before the tensor is encoded.</summary>
    public static int HeaderBytes(UnitSpec format) => format.Id == "palette" ? 4608 : 512;

    /// <summary>Bytes with the header.</summary>
    public static long Bytes(MatMulWeight weight) => HeaderBytes(weight.Format) + weight.Bytes;

    /// <summary>Writes the header.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="header"><see cref="HeaderBytes"/> bytes.</param>
    public static void WriteHeader(MatMulWeight weight, Span<byte> header)
    {
        byte[] text = Encoding.UTF8.GetBytes(weight.Format.ToString());
        header.Clear();
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], Version);
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
        uint rows = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        uint columns = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(header[16..]);
        if (!header[..4].SequenceEqual(Magic) || BinaryPrimitives.ReadUInt32LittleEndian(header[4..]) != Version || rows > int.MaxValue || columns > int.MaxValue || length > header.Length - TextOffset)
        {
            return null;
        }

        var format = UnitSpec.Parse(Encoding.UTF8.GetString(header.Slice(TextOffset, (int)length)));
        MatMulWeight? weight = MatMulWeight.TryCreate(format, (int)rows, (int)columns);
        if (weight is not null && Bytes(weight) != lengthBytes)
        {
            weight.Dispose();
            return null;
        }

        return weight;
    }
}
