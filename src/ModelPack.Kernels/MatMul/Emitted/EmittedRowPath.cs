using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>A way to compute products in which one row is multiplied by functions made at run time (<see cref="RowCode"/>), several tiles at a time.</summary>
/// <param name="weight">The weight.</param>
internal abstract unsafe class EmittedRowPath(MatMulWeight weight) : MatMulPath(weight)
{
    /// <summary>Tiles that one row is multiplied with at a time, a power of two; what is left over in halves of it.</summary>
    protected abstract int RowTiles { get; }

    /// <summary>The function for blocks of so many units.</summary>
    protected abstract nint RowFunction(in TileWeight weight, int units, int tiles);

    /// <summary>Units that make a block for the functions.</summary>
    protected virtual int RowBlockUnits(in TileWeight weight) => weight.BlockUnits;

    /// <summary>Prepared activations of a row from a block on.</summary>
    protected abstract byte* RowActivations(void* scratch, int block);

    /// <summary>The table that functions take.</summary>
    protected abstract byte* RowTable(in TileWeight weight);

    /// <summary>Multiplies sums with what all values of some tiles have in common.</summary>
    protected abstract void ScaleRow(byte* tile, int tiles, in TileWeight weight, float* sums);

    /// <summary>As <see cref="MatMulPath.Multiply"/>, for one row.</summary>
    protected void Row(byte* tile, in TileWeight weight, void* scratch, int first, int count, in MatMulOutput to)
    {
        for (int tiles = RowTiles; count > 0; tiles /= 2)
        {
            int some = count & -tiles;
            if (some > 0)
            {
                Row(tile, tiles, weight, scratch, first, some, to);
                tile += some * weight.TileBytes;
                first += some;
                count -= some;
            }
        }
    }

    /// <summary>The factor of all values, to sums. As the loops of kernels optimised at once: code for 512 bits is not made before the program runs, and until it is optimised every operation is a call.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected static void Scale(float* sums, int count, float factor)
    {
        if (factor == 1)
        {
            return;
        }

        Simd512 multiplier = Simd512.Create(factor);
        for (int i = 0; i < count; i += Simd512.Count)
        {
            Simd512.Store(Simd512.Multiply(Simd512.Load(sums + i), multiplier), sums + i);
        }
    }

    /// <summary>Always so many tiles together, whose number divides the count.</summary>
    private void Row(byte* tile, int tiles, in TileWeight weight, void* scratch, int first, int count, in MatMulOutput to)
    {
        int blockUnits = RowBlockUnits(weight);
        int whole = weight.Units / blockUnits;
        int lastUnits = weight.Units - (whole * blockUnits);
        var function = whole == 0 ? null : (delegate* unmanaged[SuppressGCTransition]<EmittedCall*, void>)RowFunction(weight, blockUnits, tiles);
        var last = lastUnits == 0 ? null : (delegate* unmanaged[SuppressGCTransition]<EmittedCall*, void>)RowFunction(weight, lastUnits, tiles);
        float* sums = stackalloc float[RowCode.MaxTiles * TileLayout.TileRows];
        byte* x = RowActivations(scratch, 0);
        byte* lastX = RowActivations(scratch, whole);
        EmittedCall call;
        call.Y = sums;
        call.Table = RowTable(weight);
        for (int i = first; i < first + count; i += tiles)
        {
            new Span<float>(sums, tiles * TileLayout.TileRows).Clear();
            if (whole > 0)
            {
                call.X = x;
                call.Weights = tile + weight.CodesOffset;
                call.Scales = tile;
                call.Zeros = tile + weight.ZerosOffset;
                call.Blocks = whole;
                function(&call);
            }

            if (lastUnits > 0)
            {
                call.X = lastX;
                call.Weights = tile + weight.CodesOffset + ((long)whole * blockUnits * weight.UnitBytes);
                call.Scales = tile + ((long)whole * TileLayout.TileRows * weight.ScaleBytes);
                call.Zeros = tile + weight.ZerosOffset + ((long)whole * TileLayout.TileRows);
                call.Blocks = 1;
                last(&call);
            }

            ScaleRow(tile, tiles, weight, sums);
            to.Tiles(1, i, tiles, weight.Rows).Store(sums);
            tile += tiles * weight.TileBytes;
        }
    }
}
