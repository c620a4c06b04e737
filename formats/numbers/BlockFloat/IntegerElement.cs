using System.Runtime.CompilerServices;

namespace ModelPack.Numbers;

/// <summary>MXINT8: rounding at 2^-6 by adding 1.5 x 2^17, whose quantum that is; the low byte of the sum is the code.</summary>
internal readonly struct IntegerElement<TLanes> : IElement<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    private const float LargestValue = 127 / 64f;
    private const float Magic = 1.5f * (1 << 17);

    private readonly TLanes _lowest = TLanes.Create(-LargestValue);
    private readonly TLanes _highest = TLanes.Create(LargestValue);
    private readonly TLanes _magic = TLanes.Create(Magic);
    private readonly TLanes _flip = TLanes.CreateInt(128);
    private readonly TLanes _bias = TLanes.Create((1 << 17) + 2f);
    private readonly TLanes _exponent = TLanes.Create(1 << 17);
    private readonly TLanes _byte = TLanes.CreateInt(255);

    public IntegerElement()
    {
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes Encode(TLanes values) => TLanes.Add(TLanes.Min(TLanes.Max(values, _lowest), _highest), _magic);

    public TLanes EncodeWithNan(TLanes values) => Encode(values);

    /// <summary>The code plus 128 as the low byte of 2^17, whose quantum is 2^-6, minus 2^17 + 2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes Decode(TLanes codes) =>
        TLanes.Subtract(TLanes.Or(TLanes.And(TLanes.AddInt(codes, _flip), _byte), _exponent), _bias);
}
