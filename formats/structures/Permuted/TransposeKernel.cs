using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Structures;

/// <summary>Moves a strip of rows to strided places. Pure data movement: no value is changed.</summary>
internal static class TransposeKernel
{
    private const int StagingRows = 128;
    private const int StagingStride = StagingRows + 16;

    /// <summary>destination[r * rowStride + c * columnStride] = source[r * sourceStride + c] for all r &lt; rows, c &lt; columns.</summary>
    public static void Scatter(ReadOnlySpan<float> source, int rows, int columns, int sourceStride, Span<float> destination, long rowStride, long columnStride)
    {
        if (columnStride == 1)
        {
            for (int r = 0; r < rows; r++)
            {
                source.Slice(r * sourceStride, columns).CopyTo(destination[(int)(r * rowStride)..]);
            }
        }
        else if (rowStride == 1 && rows >= 8 && columns >= 8 && Avx.IsSupported)
        {
            Transpose8(source, rows, columns, sourceStride, destination, (int)columnStride);
        }
        else
        {
            ScatterReference(source, rows, columns, sourceStride, destination, rowStride, columnStride);
        }
    }

    /// <summary>The definition, one element at a time.</summary>
    internal static void ScatterReference(ReadOnlySpan<float> source, int rows, int columns, int sourceStride, Span<float> destination, long rowStride, long columnStride)
    {
        for (int c = 0; c < columns; c++)
        {
            for (int r = 0; r < rows; r++)
            {
                destination[(int)((r * rowStride) + (c * columnStride))] = source[(r * sourceStride) + c];
            }
        }
    }

    /// <summary>
    /// 8x8 tiles: eight registers hold eight rows, are interleaved by 1, 2 and 4 elements, and leave as eight columns. Columns often lie a power of
    /// two apart, where eight streams of stores fight for the same cache set; so a column panel of up to 128 rows is transposed into a
    /// staging buffer with an odd number of cache lines per column, then copied out column by column. Edges run through the reference.
    /// </summary>
    [SkipLocalsInit]
    private static void Transpose8(ReadOnlySpan<float> source, int rows, int columns, int sourceStride, Span<float> destination, int columnStride)
    {
        Span<float> staging = stackalloc float[8 * StagingStride];
        ref float stage = ref MemoryMarshal.GetReference(staging);
        int wholeRows = rows & ~7;
        int wholeColumns = columns & ~7;
        _ = source[((rows - 1) * sourceStride) + columns - 1];
        ref float from = ref MemoryMarshal.GetReference(source);
        for (int first = 0; first < wholeRows; first += StagingRows)
        {
            int count = Math.Min(StagingRows, wholeRows - first);
            for (int c = 0; c < wholeColumns; c += 8)
            {
                for (int r = 0; r < count; r += 8)
                {
                    Tile(ref Unsafe.Add(ref from, ((first + r) * sourceStride) + c), sourceStride, ref Unsafe.Add(ref stage, r), StagingStride);
                }

                for (int k = 0; k < 8; k++)
                {
                    staging.Slice(k * StagingStride, count).CopyTo(destination[(((c + k) * columnStride) + first)..]);
                }
            }
        }

        if (wholeRows < rows)
        {
            ScatterReference(source[(wholeRows * sourceStride)..], rows - wholeRows, columns, sourceStride, destination[wholeRows..], 1, columnStride);
        }

        if (wholeColumns < columns)
        {
            ScatterReference(source[wholeColumns..], wholeRows, columns - wholeColumns, sourceStride, destination[(wholeColumns * columnStride)..], 1, columnStride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Tile(ref float from, int fromStride, ref float to, int toStride)
    {
        Vector256<float> r0 = Vector256.LoadUnsafe(ref from);
        Vector256<float> r1 = Vector256.LoadUnsafe(ref Unsafe.Add(ref from, fromStride));
        Vector256<float> r2 = Vector256.LoadUnsafe(ref Unsafe.Add(ref from, 2 * fromStride));
        Vector256<float> r3 = Vector256.LoadUnsafe(ref Unsafe.Add(ref from, 3 * fromStride));
        Vector256<float> r4 = Vector256.LoadUnsafe(ref Unsafe.Add(ref from, 4 * fromStride));
        Vector256<float> r5 = Vector256.LoadUnsafe(ref Unsafe.Add(ref from, 5 * fromStride));
        Vector256<float> r6 = Vector256.LoadUnsafe(ref Unsafe.Add(ref from, 6 * fromStride));
        Vector256<float> r7 = Vector256.LoadUnsafe(ref Unsafe.Add(ref from, 7 * fromStride));

        // Pairs: a0 = r0[0] r1[0] r0[1] r1[1] | r0[4] r1[4] ...
        Vector256<float> a0 = Avx.UnpackLow(r0, r1);
        Vector256<float> a1 = Avx.UnpackHigh(r0, r1);
        Vector256<float> a2 = Avx.UnpackLow(r2, r3);
        Vector256<float> a3 = Avx.UnpackHigh(r2, r3);
        Vector256<float> a4 = Avx.UnpackLow(r4, r5);
        Vector256<float> a5 = Avx.UnpackHigh(r4, r5);
        Vector256<float> a6 = Avx.UnpackLow(r6, r7);
        Vector256<float> a7 = Avx.UnpackHigh(r6, r7);

        // Fours: b0 = column 0 of rows 0..3 | column 4 of rows 0..3
        Vector256<float> b0 = Avx.Shuffle(a0, a2, 0x44);
        Vector256<float> b1 = Avx.Shuffle(a0, a2, 0xEE);
        Vector256<float> b2 = Avx.Shuffle(a1, a3, 0x44);
        Vector256<float> b3 = Avx.Shuffle(a1, a3, 0xEE);
        Vector256<float> b4 = Avx.Shuffle(a4, a6, 0x44);
        Vector256<float> b5 = Avx.Shuffle(a4, a6, 0xEE);
        Vector256<float> b6 = Avx.Shuffle(a5, a7, 0x44);
        Vector256<float> b7 = Avx.Shuffle(a5, a7, 0xEE);

        // Eights: low halves are columns 0..3, high halves columns 4..7.
        Avx.Permute2x128(b0, b4, 0x20).StoreUnsafe(ref to);
        Avx.Permute2x128(b1, b5, 0x20).StoreUnsafe(ref Unsafe.Add(ref to, toStride));
        Avx.Permute2x128(b2, b6, 0x20).StoreUnsafe(ref Unsafe.Add(ref to, 2 * toStride));
        Avx.Permute2x128(b3, b7, 0x20).StoreUnsafe(ref Unsafe.Add(ref to, 3 * toStride));
        Avx.Permute2x128(b0, b4, 0x31).StoreUnsafe(ref Unsafe.Add(ref to, 4 * toStride));
        Avx.Permute2x128(b1, b5, 0x31).StoreUnsafe(ref Unsafe.Add(ref to, 5 * toStride));
        Avx.Permute2x128(b2, b6, 0x31).StoreUnsafe(ref Unsafe.Add(ref to, 6 * toStride));
        Avx.Permute2x128(b3, b7, 0x31).StoreUnsafe(ref Unsafe.Add(ref to, 7 * toStride));
    }
}
