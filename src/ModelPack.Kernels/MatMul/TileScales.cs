using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Scales and zero points of a block of a tile.</summary>
internal static unsafe class TileScales
{
    /// <summary>Scales of as many rows as the vector has lanes.</summary>
    /// <param name="tile">The tile.</param>
    /// <param name="scale">Stored type.</param>
    /// <param name="index">16 x block + first row.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Load<TSimd>(byte* tile, TileScale scale, int index)
        where TSimd : struct, ISimd<TSimd> => scale switch
        {
            TileScale.F32 => TSimd.Load(tile + (sizeof(float) * (long)index)),
            TileScale.BF16 => TSimd.ShiftLeft(TSimd.WidenWords((ushort*)tile + index), 16),
            TileScale.E8M0 => TSimd.ShiftLeft(TSimd.WidenBytes(tile + index), 23),
            _ => TSimd.Create(1f),
        };
}
