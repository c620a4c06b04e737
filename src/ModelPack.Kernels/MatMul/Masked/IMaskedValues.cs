using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.MatMul;

/// <summary>Values that are stored one after the other, whatever their width.</summary>
internal unsafe interface IMaskedValues
{
    /// <summary>Bytes of a value.</summary>
    static abstract int Width { get; }

    /// <summary>Sixteen values; AVX-512.</summary>
    static abstract Vector512<float> Load512(byte* values, float zero);

    /// <summary>Eight values; AVX2.</summary>
    static abstract Vector256<float> Load256(byte* values, float zero);

    /// <summary>One value.</summary>
    static abstract float Load(byte* values, float zero);
}

/// <summary>f32.</summary>
internal readonly unsafe struct MaskedSingles : IMaskedValues
{
    public static int Width => sizeof(float);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load512(byte* values, float zero) => Vector512.Load((float*)values);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load256(byte* values, float zero) => Vector256.Load((float*)values);

    public static float Load(byte* values, float zero) => *(float*)values;
}

/// <summary>bf16.</summary>
internal readonly unsafe struct MaskedNarrow : IMaskedValues
{
    public static int Width => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load512(byte* values, float zero) => (Avx512F.ConvertToVector512Int32(Vector256.Load((ushort*)values)) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load256(byte* values, float zero) => (Avx2.ConvertToVector256Int32((ushort*)values) << 16).AsSingle();

    public static float Load(byte* values, float zero) => BitConverter.Int32BitsToSingle(*(ushort*)values << 16);
}

/// <summary>Codes of one byte less their zero point.</summary>
internal readonly unsafe struct MaskedCodes : IMaskedValues
{
    public static int Width => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load512(byte* values, float zero) => Avx512F.ConvertToVector512Single(Avx512F.ConvertToVector512Int32(Vector128.Load(values))) - Vector512.Create(zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load256(byte* values, float zero) => Avx.ConvertToVector256Single(Avx2.ConvertToVector256Int32(values)) - Vector256.Create(zero);

    public static float Load(byte* values, float zero) => *values - zero;
}
