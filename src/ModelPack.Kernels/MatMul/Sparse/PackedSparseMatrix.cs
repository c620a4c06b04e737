using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// The execution layout of a block-sparse weight with a header and its mask: what an operator is given as one tensor of bytes. Header, little-endian: "MPKS", version 1, rows, columns, rows and columns of a block, length of
/// the format's text (u32 each), the text in UTF-8; then zeros up to <see cref="PackedMatrix.HeaderBytes"/>, the mask with zeros up to a multiple of 64, and the stripes.
/// </summary>
public static unsafe class PackedSparseMatrix
{
    private const int TextOffset = 28;

    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "MPKS"u8;

    /// <summary>Where the stripes begin.</summary>
    public static long TilesOffset(SparseWeight weight) => PackedMatrix.HeaderBytes(weight.Format) + Align(MaskBytes(weight.Rows, weight.Columns, weight.BlockRows, weight.BlockColumns));

    /// <summary>Bytes of everything.</summary>
    public static long Bytes(SparseWeight weight) => TilesOffset(weight) + weight.Bytes;

    /// <summary>Writes what stands before the stripes.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="header"><see cref="TilesOffset"/> bytes.</param>
    public static void WriteHeader(SparseWeight weight, Span<byte> header)
    {
        byte[] text = Encoding.UTF8.GetBytes(weight.Format.ToString());
        header.Clear();
        Magic.CopyTo(header);
        ReadOnlySpan<uint> numbers = [Version, (uint)weight.Rows, (uint)weight.Columns, (uint)weight.BlockRows, (uint)weight.BlockColumns, (uint)text.Length];
        for (int i = 0; i < numbers.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(header[(4 + (4 * i))..], numbers[i]);
        }

        text.CopyTo(header[TextOffset..]);
        weight.Mask.CopyTo(header[PackedMatrix.HeaderBytes(weight.Format)..]);
    }

    /// <summary>Reads header and mask; null unless they are such and the tensor is as long as they say.</summary>
    /// <param name="data">Start of the tensor.</param>
    /// <param name="lengthBytes">Its length.</param>
    /// <exception cref="ModelPackException">MP1021, MP1022: the format is damaged.</exception>
    public static SparseWeight? Read(byte* data, long lengthBytes)
    {
        if (lengthBytes < TextOffset)
        {
            return null;
        }

        var header = new ReadOnlySpan<byte>(data, (int)Math.Min(lengthBytes, 4608));
        uint rows = Number(header, 1);
        uint columns = Number(header, 2);
        uint blockRows = Number(header, 3);
        uint blockColumns = Number(header, 4);
        uint length = Number(header, 5);
        if (!header[..4].SequenceEqual(Magic) || Number(header, 0) != Version || rows - 1 >= int.MaxValue || columns - 1 >= int.MaxValue || blockRows - 1 >= 256 || blockColumns - 1 >= 256 || length > header.Length - TextOffset)
        {
            return null;
        }

        var format = UnitSpec.Parse(Encoding.UTF8.GetString(header.Slice(TextOffset, (int)length)));
        long mask = MaskBytes((int)rows, (int)columns, (int)blockRows, (int)blockColumns);
        int at = PackedMatrix.HeaderBytes(format);
        if (mask > Math.Min(lengthBytes - at, Array.MaxLength))
        {
            return null;
        }

        var structure = new UnitSpec("blocksparse", ("block", string.Create(CultureInfo.InvariantCulture, $"{blockRows}x{blockColumns}")));
        SparseWeight? weight = SparseWeight.TryCreate(structure, format, (int)rows, (int)columns, new ReadOnlySpan<byte>(data + at, (int)mask));
        if (weight is not null && Bytes(weight) != lengthBytes)
        {
            weight.Dispose();
            return null;
        }

        return weight;
    }

    private static uint Number(ReadOnlySpan<byte> header, int index) => BinaryPrimitives.ReadUInt32LittleEndian(header[(4 + (4 * index))..]);

    private static long MaskBytes(int rows, int columns, int blockRows, int blockColumns) =>
        (((long)rows - 1) / blockRows + 1) * ((((((long)columns - 1) / blockColumns) + 1) + 7) / 8);

    private static long Align(long bytes) => (bytes + 63) & -64L;
}
