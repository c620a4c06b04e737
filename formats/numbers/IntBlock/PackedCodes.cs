using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Codes side by side: 2 x bits bytes for 16 of them.</summary>
internal readonly struct PackedCodes : ICodeLayout
{
    public static int BlobBytes(int block, int bits) => block / 8 * bits;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Load16<TBits>(ref byte blob, nint first, nint planeBytes)
        where TBits : struct, IBits
    {
        ref byte from = ref Unsafe.Add(ref blob, (first >> 3) * TBits.Count);
        if (TBits.Count == 8)
        {
            return Vector128.LoadUnsafe(ref from);
        }

        if (TBits.Count == 4)
        {
            return CodePacking.Unpack16Of4(Unsafe.ReadUnaligned<ulong>(ref from));
        }

        return TBits.Count == 2
            ? CodePacking.Unpack16Of2(Unsafe.ReadUnaligned<uint>(ref from))
            : CodePacking.Unpack16Wide(ref from, TBits.Count, CodePacking.Mask(TBits.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store16<TBits>(Vector128<byte> codes, ref byte blob, nint first, nint planeBytes)
        where TBits : struct, IBits => CodePacking.Store16<TBits>(codes, ref Unsafe.Add(ref blob, (first >> 3) * TBits.Count));
}
