using System.Runtime.CompilerServices;

namespace ModelPack.Numbers;

/// <summary>Integers in the order of the f32 they stand for; -0 comes right before +0.</summary>
internal static class FloatKey
{
    /// <summary>The key: the bits of a positive number, the complement of the magnitude of a negative one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Of(float value)
    {
        int bits = BitConverter.SingleToInt32Bits(value);
        return bits ^ ((bits >> 31) & 0x7FFFFFFF);
    }

    /// <summary>The inverse of <see cref="Of"/>.</summary>
    public static float Value(int key) => BitConverter.Int32BitsToSingle(key ^ ((key >> 31) & 0x7FFFFFFF));

    /// <summary>As <see cref="Of"/>, for 16 lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Of<TLanes>(TLanes values, TLanes zero, TLanes largest)
        where TLanes : struct, ILanes16<TLanes> =>
        TLanes.Select(TLanes.GreaterInt(zero, values), TLanes.SubtractInt(largest, values), values);
}
