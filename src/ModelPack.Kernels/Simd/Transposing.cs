using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels;

/// <summary>Transposes matrices of f32, four by four values in registers.</summary>
internal static unsafe class Transposing
{
    /// <summary>Rows and columns of a square.</summary>
    public const int SquareSize = 4;

    /// <summary>to[c, r] = from[r, c].</summary>
    /// <param name="from">[rows, columns].</param>
    /// <param name="fromStride">Values from row to row.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="to">[columns, rows].</param>
    /// <param name="toStride">Values from one of its rows to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(float* from, long fromStride, int rows, int columns, float* to, long toStride)
    {
        int squareRows = Sse.IsSupported ? rows & -SquareSize : 0;
        int squareColumns = columns & -SquareSize;
        for (int r = 0; r < squareRows; r += SquareSize)
        {
            for (int c = 0; c < squareColumns; c += SquareSize)
            {
                Square(from + (r * fromStride) + c, fromStride, to + (c * toStride) + r, toStride);
            }

            Singles(from + (r * fromStride), fromStride, SquareSize, squareColumns, columns, to + r, toStride);
        }

        Singles(from + (squareRows * fromStride), fromStride, rows - squareRows, 0, columns, to + squareRows, toStride);
    }

    /// <summary>Four by four values.</summary>
    /// <param name="from">Four rows of four values.</param>
    /// <param name="fromStride">Values from row to row.</param>
    /// <param name="to">The transpose.</param>
    /// <param name="toStride">Values from one of its rows to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Square(float* from, long fromStride, float* to, long toStride)
    {
        Vector128<float> a = Vector128.Load(from);
        Vector128<float> b = Vector128.Load(from + fromStride);
        Vector128<float> c = Vector128.Load(from + (2 * fromStride));
        Vector128<float> d = Vector128.Load(from + (3 * fromStride));
        Vector128<float> ab = Sse.UnpackLow(a, b);
        Vector128<float> cd = Sse.UnpackLow(c, d);
        Sse.MoveLowToHigh(ab, cd).Store(to);
        Sse.MoveHighToLow(cd, ab).Store(to + toStride);
        ab = Sse.UnpackHigh(a, b);
        cd = Sse.UnpackHigh(c, d);
        Sse.MoveLowToHigh(ab, cd).Store(to + (2 * toStride));
        Sse.MoveHighToLow(cd, ab).Store(to + (3 * toStride));
    }

    private static void Singles(float* from, long fromStride, int rows, int firstColumn, int columns, float* to, long toStride)
    {
        for (int c = firstColumn; c < columns; c++)
        {
            for (int r = 0; r < rows; r++)
            {
                to[(c * toStride) + r] = from[(r * fromStride) + c];
            }
        }
    }
}
