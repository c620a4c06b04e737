using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Scales and zero points of the blocks of a tile as f32, a few blocks at a time: in the first cache, so that the loops over codes know one type only.</summary>
internal static unsafe class TileScales
{
    /// <summary>Blocks that are widened together.</summary>
    public const int Blocks = 64;

    /// <summary>Floats of scratch: scales, then zero points.</summary>
    public const int Scratch = 2 * Blocks * TileLayout.TileRows;

    /// <summary>Scales of some blocks.</summary>
    /// <param name="tile">The tile.</param>
    /// <param name="scale">Stored type.</param>
    /// <param name="block">First block.</param>
    /// <param name="count">At most <see cref="Blocks"/>.</param>
    /// <param name="scratch">Room for them.</param>
    /// <returns>[count, 16]: in scratch, or in the tile.</returns>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static float* Scales<TSimd>(byte* tile, TileScale scale, int block, int count, float* scratch)
        where TSimd : struct, ISimd<TSimd>
    {
        int first = block * TileLayout.TileRows;
        int end = count * TileLayout.TileRows;
        switch (scale)
        {
            case TileScale.F32:
                return (float*)tile + first;
            case TileScale.BF16:
                for (int i = 0; i < end; i += TSimd.Count)
                {
                    TSimd.Store(TSimd.ShiftLeft(TSimd.WidenWords((ushort*)tile + first + i), 16), scratch + i);
                }

                break;
            case TileScale.F16:
                HalfScales.Widen<TSimd>((ushort*)tile + first, count, scratch);
                break;
            case TileScale.E8M0:
                for (int i = 0; i < end; i += TSimd.Count)
                {
                    TSimd.Store(TSimd.ShiftLeft(TSimd.WidenBytes(tile + first + i), 23), scratch + i);
                }

                break;
            default:
                for (int i = 0; i < end; i += TSimd.Count)
                {
                    TSimd.Store(TSimd.Create(1f), scratch + i);
                }

                break;
        }

        return scratch;
    }

    /// <summary>Zero points of some blocks as f32, [count, 16]; where blocks have none, one row of the common one.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static float* Zeros<TSimd>(byte* tile, in TileWeight weight, int block, int count, float* scratch)
        where TSimd : struct, ISimd<TSimd>
    {
        scratch += Blocks * TileLayout.TileRows;
        int end = weight.HasZeros ? count * TileLayout.TileRows : TileLayout.TileRows;
        byte* zeros = tile + weight.ZerosOffset + ((long)block * TileLayout.TileRows);
        for (int i = 0; i < end; i += TSimd.Count)
        {
            TSimd.Store(weight.HasZeros ? TSimd.ToSingle(TSimd.WidenBytes(zeros + i)) : TSimd.Create((float)weight.Zero), scratch + i);
        }

        return scratch;
    }

    /// <summary>Zero points of some blocks as integers, for the bytes that are multiplied; otherwise as <see cref="Zeros"/>.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static int* IntegerZeros<TSimd>(byte* tile, in TileWeight weight, int block, int count, float* scratch)
        where TSimd : struct, ISimd<TSimd>
    {
        scratch += Blocks * TileLayout.TileRows;
        int end = weight.HasZeros ? count * TileLayout.TileRows : TileLayout.TileRows;
        byte* zeros = tile + weight.ZerosOffset + ((long)block * TileLayout.TileRows);
        for (int i = 0; i < end; i += TSimd.Count)
        {
            TSimd.Store(weight.HasZeros ? TSimd.WidenBytes(zeros + i) : TSimd.Create(weight.ByteZero), scratch + i);
        }

        return (int*)scratch;
    }
}
