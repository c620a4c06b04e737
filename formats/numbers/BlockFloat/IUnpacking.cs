using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Reads 16 codes of a width that the JIT sees as a choice made.</summary>
internal interface IUnpacking
{
    /// <summary>Sixteen codes, one per byte.</summary>
    static abstract Vector128<byte> Read(ref readonly byte source, int bits, ulong mask);
}

/// <summary>One code per byte.</summary>
internal readonly struct UnpackBytes : IUnpacking
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Read(ref readonly byte source, int bits, ulong mask) => Vector128.LoadUnsafe(in source);
}

/// <summary>Two codes per byte, the first in the low nibble.</summary>
internal readonly struct UnpackNibbles : IUnpacking
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Read(ref readonly byte source, int bits, ulong mask) => CodePacking.Unpack16Of4(Unsafe.ReadUnaligned<ulong>(in source));
}

/// <summary>Any width, reading beyond the codes; see <see cref="CodePacking.Unpack16Wide"/>.</summary>
internal readonly struct UnpackWide : IUnpacking
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Read(ref readonly byte source, int bits, ulong mask) => CodePacking.Unpack16Wide(in source, bits, mask);
}
