using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace ModelPack.Containers.Checkpoint;

/// <summary>Codes, scales and zero points of other tools in the order of ours, rearranged as they are read: no code or scale changes its value.</summary>
internal static class CodeData
{
    /// <summary>Where the eight columns of a word of AWQ lie: column i in nibble <c>AwqNibble[i]</c>.</summary>
    private static ReadOnlySpan<byte> AwqNibble => [0, 4, 1, 5, 2, 6, 3, 7];

    /// <summary>A matrix turned.</summary>
    /// <param name="source">[rows, columns] elements.</param>
    /// <param name="rows">Rows of the source.</param>
    /// <param name="columns">Columns of the source, rows of the result.</param>
    /// <param name="elementBytes">2 or 4.</param>
    public static TensorData Transposed(TensorData source, long rows, long columns, int elementBytes) => new ComputedRows(columns, rows * elementBytes, (first, count, destination) =>
    {
        byte[] piece = new byte[count * elementBytes];
        for (long r = 0; r < rows; r++)
        {
            source.Read(((r * columns) + first) * elementBytes, piece);
            for (int c = 0; c < count; c++)
            {
                piece.AsSpan(c * elementBytes, elementBytes).CopyTo(destination[(int)(((c * rows) + r) * elementBytes)..]);
            }
        }
    });

    /// <summary>
    /// Codes that are packed along the columns of a matrix, packed along its rows instead: row n of the result holds the codes of column n, the first in the lowest bits.
    /// </summary>
    /// <param name="source">[rows, columns] codes, each row packed into 32-bit words, low bits first, over the borders of words.</param>
    /// <param name="rows">Rows of the source.</param>
    /// <param name="columns">Columns of the source.</param>
    /// <param name="bits">Of a code.</param>
    /// <param name="awq">Columns within a word are in AWQ's order.</param>
    /// <param name="add">What is added to every code; sums must fit.</param>
    public static TensorData TurnedCodes(TensorData source, long rows, long columns, int bits, bool awq = false, int add = 0)
    {
        long sourceRowBytes = WordBytes(columns, bits);
        long rowBytes = ((rows * bits) + 7) / 8;
        return new ComputedRows(columns, rowBytes, (first, count, destination) =>
        {
            destination.Clear();
            long beginBytes = first * bits / 32 * 4;
            byte[] piece = new byte[Math.Min(sourceRowBytes, (((first + count) * bits) + 31) / 32 * 4) - beginBytes];
            int mask = (1 << bits) - 1;
            for (long r = 0; r < rows; r++)
            {
                source.Read((r * sourceRowBytes) + beginBytes, piece);
                for (int c = 0; c < count; c++)
                {
                    long column = first + c;
                    long bit = awq ? (column / 8 * 32) + (AwqNibble[(int)(column % 8)] * 4) : column * bits;
                    int code = Get(piece, bit - (beginBytes * 8), mask) + add;
                    Put(destination.Slice((int)(c * rowBytes), (int)rowBytes), r * bits, code);
                }
            }
        });
    }

    /// <summary>
    /// Codes that are packed down the rows of a matrix (as compressed-tensors packs zero points), packed along its rows instead.
    /// </summary>
    /// <param name="source">[words, columns] words: those of a column follow each other as the bits of its codes.</param>
    /// <param name="rows">Codes in a column.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="bits">Of a code.</param>
    public static TensorData CodesOfColumns(TensorData source, long rows, long columns, int bits)
    {
        TensorData turned = Transposed(source, (rows * bits + 31) / 32, columns, 4);
        return TurnedCodes(turned, columns, rows, bits);
    }

    /// <summary>Rows without the padding at their ends.</summary>
    public static TensorData Trimmed(TensorData source, long rows, long sourceRowBytes, long rowBytes) => sourceRowBytes == rowBytes ? source : new ComputedRows(rows, rowBytes, (first, count, destination) =>
    {
        for (int r = 0; r < count; r++)
        {
            source.Read((first + r) * sourceRowBytes, destination.Slice((int)(r * rowBytes), (int)rowBytes));
        }
    });

    /// <summary>One element for every row.</summary>
    public static TensorData Repeated(TensorData element, long rows) => new ComputedRows(rows, element.LengthBytes, (_, count, destination) =>
    {
        byte[] bytes = element.ToArray();
        for (int r = 0; r < count; r++)
        {
            bytes.CopyTo(destination[(r * bytes.Length)..]);
        }
    });

    /// <summary>16-bit floats as f32, which holds them exactly; f32 as it is.</summary>
    public static TensorData Widened(TensorData source, DType dtype) => dtype == DType.F32 ? source : new ComputedRows(source.LengthBytes / 2, 4, (first, count, destination) =>
    {
        byte[] narrow = new byte[count * 2];
        source.Read(first * 2, narrow);
        Span<float> values = MemoryMarshal.Cast<byte, float>(destination);
        for (int i = 0; i < count; i++)
        {
            values[i] = Float(narrow.AsSpan(i * 2), dtype);
        }
    });

    /// <summary>Bytes of a row of codes that is filled up to whole 32-bit words.</summary>
    public static long WordBytes(long codes, int bits) => ((codes * bits) + 31) / 32 * 4;

    /// <summary>Reads a little-endian f32, f16 or bf16.</summary>
    public static float Float(ReadOnlySpan<byte> bytes, DType dtype) => dtype switch
    {
        DType.F32 => BinaryPrimitives.ReadSingleLittleEndian(bytes),
        DType.F16 => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes),
        _ => BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(bytes) << 16),
    };

    /// <summary>A code of up to 8 bits at a bit of packed bytes.</summary>
    public static int Get(ReadOnlySpan<byte> packed, long bit, int mask)
    {
        int at = (int)(bit >> 3);
        int word = packed[at] | (at + 1 < packed.Length ? packed[at + 1] << 8 : 0);
        return (word >> (int)(bit & 7)) & mask;
    }

    private static void Put(Span<byte> packed, long bit, int code)
    {
        int at = (int)(bit >> 3);
        int shifted = code << (int)(bit & 7);
        packed[at] |= (byte)shifted;
        if (shifted > 255)
        {
            packed[at + 1] |= (byte)(shifted >> 8);
        }
    }
}
