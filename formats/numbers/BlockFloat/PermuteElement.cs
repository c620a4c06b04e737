using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>Small floats of 5 or 6 bits on 512-bit registers: decoded by one or two permutations of 32 values.</summary>
internal readonly struct PermuteElement : IElement<Lanes512>
{
    private readonly FloatElement<Lanes512> _arithmetic;
    private readonly Lanes512 _a;
    private readonly Lanes512 _b;
    private readonly Lanes512 _c;
    private readonly Lanes512 _d;
    private readonly bool _wide;

    public PermuteElement(ElementFormat e)
    {
        _arithmetic = new FloatElement<Lanes512>(e);
        _wide = e.Bits == 6;
        Span<float> values = stackalloc float[64];
        values.Clear();
        e.Values.CopyTo(values);
        ref float table = ref MemoryMarshal.GetReference(values);
        _a = Lanes512.Load(in table);
        _b = Lanes512.Load(in Unsafe.Add(ref table, 16));
        _c = Lanes512.Load(in Unsafe.Add(ref table, 32));
        _d = Lanes512.Load(in Unsafe.Add(ref table, 48));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Lanes512 Encode(Lanes512 values) => _arithmetic.Encode(values);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Lanes512 EncodeWithNan(Lanes512 values) => _arithmetic.EncodeWithNan(values);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Lanes512 Decode(Lanes512 codes)
    {
        Lanes512 lower = Lanes512.Lookup32(_a, _b, codes);
        return _wide ? Lanes512.Select(Lanes512.GreaterInt(codes, Lanes512.CreateInt(31)), Lanes512.Lookup32(_c, _d, codes), lower) : lower;
    }
}
