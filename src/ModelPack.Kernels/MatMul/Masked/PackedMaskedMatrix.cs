using System.Buffers.Binary;
using System.Text;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// The execution layout of a weight of single stored elements with a header: what an operator is given as one tensor of bytes. Header, little-endian: "MPKE", version 1, rows, columns, bytes of the mask, lengths of the
/// structure's and the format's text (u32 each), both texts in UTF-8; zeros up to <see cref="HeaderBytes"/>; the mask as it is stored, with zeros up to a multiple of 64; then the layout.
/// </summary>
public static unsafe class PackedMaskedMatrix
{
    private const int HeaderBytes = 512;

    private const int TextOffset = 28;

    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "MPKE"u8;

    /// <summary>Where the layout begins.</summary>
    public static long TilesOffset(MaskedWeight weight) => HeaderBytes + Align(weight.Mask.Length);

    /// <summary>Bytes of everything.</summary>
    public static long Bytes(MaskedWeight weight) => TilesOffset(weight) + weight.Bytes;

    /// <summary>Writes what stands before the layout.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="header"><see cref="TilesOffset"/> bytes.</param>
    public static void WriteHeader(MaskedWeight weight, Span<byte> header)
    {
        byte[] structure = Encoding.UTF8.GetBytes(weight.Structure.ToString());
        byte[] format = Encoding.UTF8.GetBytes(weight.Format.ToString());
        header.Clear();
        Magic.CopyTo(header);
        ReadOnlySpan<uint> numbers = [Version, (uint)weight.Rows, (uint)weight.Columns, (uint)weight.Mask.Length, (uint)structure.Length, (uint)format.Length];
        for (int i = 0; i < numbers.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(header[(4 + (4 * i))..], numbers[i]);
        }

        structure.CopyTo(header[TextOffset..]);
        format.CopyTo(header[(TextOffset + structure.Length)..]);
        weight.Mask.CopyTo(header[HeaderBytes..]);
    }

    /// <summary>Reads header and mask; null unless they are such and the tensor is as long as they say.</summary>
    /// <param name="data">Start of the tensor.</param>
    /// <param name="lengthBytes">Its length.</param>
    /// <exception cref="ModelPackException">MP1021, MP1022: the structure or the format is damaged.</exception>
    public static MaskedWeight? Read(byte* data, long lengthBytes)
    {
        if (lengthBytes < HeaderBytes)
        {
            return null;
        }

        var header = new ReadOnlySpan<byte>(data, HeaderBytes);
        uint Number(int index) => BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(data, HeaderBytes)[(4 + (4 * index))..]);
        uint rows = Number(1);
        uint columns = Number(2);
        uint mask = Number(3);
        uint structure = Number(4);
        uint format = Number(5);
        if (!header[..4].SequenceEqual(Magic) || Number(0) != Version || rows - 1 >= int.MaxValue || columns - 1 >= int.MaxValue || (ulong)structure + format > HeaderBytes - TextOffset
            || mask > Math.Min(lengthBytes - HeaderBytes, Array.MaxLength))
        {
            return null;
        }

        string Text(uint at, uint length) => Encoding.UTF8.GetString(new ReadOnlySpan<byte>(data + TextOffset + at, (int)length));
        MaskedWeight? weight = MaskedWeight.TryCreate(
            UnitSpec.Parse(Text(0, structure)), UnitSpec.Parse(Text(structure, format)), (int)rows, (int)columns, new ReadOnlySpan<byte>(data + HeaderBytes, (int)mask).ToArray());
        return weight is not null && Bytes(weight) == lengthBytes ? weight : null;
    }

    private static long Align(long bytes) => (bytes + 63) & -64L;
}
