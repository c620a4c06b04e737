using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// As <see cref="FloatMatVec{TSimd, TCodes, TValues}"/> for codes of several planes (5, 6 and 7 bits): a byte per code is written to the first cache, a few blocks at a time, and multiplied from there. Joining planes and
/// converting codes in one loop is more than the JIT compiler inlines.
/// </summary>
internal static unsafe class UnpackedMatVec<TSimd, TCodes, TValues>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TValues : struct, IValues
{
    /// <summary>Columns that are unpacked together, unless a block is longer: 8 KiB of codes.</summary>
    private const int MaxColumns = 512;

    /// <summary>Parameters as of <see cref="FloatMatVec{TSimd, TCodes, TValues}.Run"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, in TileWeight weight, float* x, float* y)
    {
        byte* codes = stackalloc byte[(TileLayout.TileRows * MaxColumns) + TilePlanes.VectorBytes];
        codes = (byte*)(((nint)codes + TilePlanes.VectorBytes - 1) & -TilePlanes.VectorBytes);
        float* scratch = stackalloc float[TileScales.Scratch];
        new Span<float>(y, TileLayout.TileRows).Clear();
        byte* unit = tile + weight.CodesOffset;
        int mostUnits = MaxColumns / TCodes.UnitColumns;
        for (int open = 0; open < weight.Blocks; open += TileScales.Blocks)
        {
            int blocks = Math.Min(TileScales.Blocks, weight.Blocks - open);
            float* scales = TileScales.Scales<TSimd>(tile, weight.Scale, open, blocks, scratch);
            float* zeros = TileScales.Zeros<TSimd>(tile, weight, open, blocks, scratch);
            int left = Math.Min(weight.Units - (open * weight.BlockUnits), blocks * weight.BlockUnits);
            for (int block = 0; left > 0;)
            {
                // Several whole blocks, or a part of one that does not fit: its scale multiplies the sum of every part.
                int whole = Math.Min(mostUnits / weight.BlockUnits, left / weight.BlockUnits);
                for (int done = 0, units = whole > 0 ? whole * weight.BlockUnits : Math.Min(weight.BlockUnits, left); done < units;)
                {
                    int count = Math.Min(mostUnits, units - done);
                    Unpack(unit, count, codes);
                    Multiply(codes, whole, (whole > 0 ? weight.BlockUnits : count) * TCodes.UnitColumns / Codes8.UnitColumns, x, weight, scales + (TileLayout.TileRows * block), zeros + (weight.ZeroStride * block), y);
                    unit += (long)count * weight.UnitBytes;
                    x += count * TCodes.UnitColumns;
                    done += count;
                    left -= count;
                }

                block += Math.Max(1, whole);
            }
        }

        for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + row), TSimd.Create(weight.Multiplier)), y + row);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply(byte* codes, int whole, int units, float* x, in TileWeight weight, float* scales, float* zeros, float* y)
    {
        for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
        {
            FloatMatVec<TSimd, Codes8, TValues>.Blocks(codes + (4 * row), Math.Max(1, whole), units, x, weight.Table, scales + row, zeros + row, weight.ZeroStride, y + row);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unpack(byte* unit, byte* to)
    {
        TSimd.Store(TCodes.Group<TSimd>(unit, 0), to);
        TSimd.Store(TCodes.Group<TSimd>(unit, 1), to + TilePlanes.VectorBytes);
        TSimd.Store(TCodes.Group<TSimd>(unit, 2), to + (2 * TilePlanes.VectorBytes));
        TSimd.Store(TCodes.Group<TSimd>(unit, 3), to + (3 * TilePlanes.VectorBytes));
        if (TCodes.UnitColumns == 32)
        {
            TSimd.Store(TCodes.Group<TSimd>(unit, 4), to + (4 * TilePlanes.VectorBytes));
            TSimd.Store(TCodes.Group<TSimd>(unit, 5), to + (5 * TilePlanes.VectorBytes));
            TSimd.Store(TCodes.Group<TSimd>(unit, 6), to + (6 * TilePlanes.VectorBytes));
            TSimd.Store(TCodes.Group<TSimd>(unit, 7), to + (7 * TilePlanes.VectorBytes));
        }
    }

    /// <summary>Whole units to a byte per code, 64 bytes per group.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Unpack(byte* unit, int count, byte* to)
    {
        for (int i = 0; i < count; i++)
        {
            Prefetching.Ahead(unit, TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8);
            for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
            {
                Unpack(unit + (4 * row), to + (4 * row));
            }

            unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
            to += TileLayout.TileRows * TCodes.UnitColumns;
        }
    }
}
