using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes256
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 TruncateToInt(Lanes256 a) => new(Vector256.ConvertToInt32Native(a._a).AsSingle(), Vector256.ConvertToInt32Native(a._b).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint SignBits(Lanes256 a) => a._a.ExtractMostSignificantBits() | (a._b.ExtractMostSignificantBits() << 8);
}
