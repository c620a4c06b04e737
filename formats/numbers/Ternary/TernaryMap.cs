using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Values to ternary codes 0, 1, 2 over 16 lanes: scaled, clamped, rounded to even by adding 1.5 x 2^23; the low byte plus 1 is the code. Per lane <see cref="TernaryScale.Trit"/>.</summary>
internal readonly struct TernaryMap<TLanes>(TernaryScale scale)
    where TLanes : struct, ILanes16<TLanes>
{
    private readonly TLanes _factor = TLanes.Create(scale.Factor);
    private readonly TLanes _lowest = TLanes.Create(-1f);
    private readonly TLanes _highest = TLanes.Create(1f);
    private readonly TLanes _magic = TLanes.Create(IntBlockKernel<TLanes>.RoundingMagic);
    private readonly TLanes _one = TLanes.CreateInt(1);
    private readonly bool _divides = scale.Divides;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector128<byte> Codes(ref float values)
    {
        TLanes v = TLanes.Load(ref values);
        v = _divides ? TLanes.Divide(v, _factor) : TLanes.Multiply(v, _factor);
        v = TLanes.Add(TLanes.Min(TLanes.Max(v, _lowest), _highest), _magic);
        return TLanes.LowBytes(TLanes.AddInt(v, _one));
    }
}
