using System.Runtime.Intrinsics;

namespace ModelPack.Runtime.Loading;

/// <summary>8-bit codes with zero at 128 as the signed integers that ONNX Runtime's int8 kernels take.</summary>
internal static unsafe class SignedCodes
{
    private const int Tile = 32;

    /// <summary>code - 128 for every byte, in place: the same as flipping its highest bit.</summary>
    internal static void Flip(nint address, long lengthBytes)
    {
        byte* bytes = (byte*)address;
        long i = 0;
        for (; i <= lengthBytes - Vector256<byte>.Count; i += Vector256<byte>.Count)
        {
            (Vector256.Load(bytes + i) ^ Vector256.Create((byte)0x80)).Store(bytes + i);
        }

        for (; i < lengthBytes; i++)
        {
            bytes[i] ^= 0x80;
        }
    }

    /// <summary>Transposes a matrix of bytes, in tiles that stay in the first cache.</summary>
    /// <param name="source">[rows, columns].</param>
    /// <param name="destination">[columns, rows]; does not overlap.</param>
    /// <param name="rows">Rows of the source.</param>
    /// <param name="columns">Columns of the source.</param>
    internal static void Transpose(nint source, nint destination, long rows, long columns)
    {
        byte* from = (byte*)source;
        byte* to = (byte*)destination;
        for (long row = 0; row < rows; row += Tile)
        {
            long rowEnd = Math.Min(rows, row + Tile);
            for (long column = 0; column < columns; column += Tile)
            {
                long columnEnd = Math.Min(columns, column + Tile);
                for (long r = row; r < rowEnd; r++)
                {
                    for (long c = column; c < columnEnd; c++)
                    {
                        to[(c * rows) + r] = from[(r * columns) + c];
                    }
                }
            }
        }
    }
}
