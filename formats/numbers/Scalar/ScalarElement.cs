namespace ModelPack.Numbers;

/// <summary>An element type of <c>float</c>.</summary>
/// <param name="Name">As in specs.</param>
/// <param name="Saturating">Its encoding when magnitudes beyond the largest become the largest.</param>
/// <param name="SpecialCode">The code, without sign, of magnitudes beyond the largest otherwise; -1 when the type has none.</param>
/// <param name="SaturatesByDefault">Whether that is the default.</param>
/// <param name="Hint">What the codes are, for the choice of a codec.</param>
internal sealed record ScalarElement(string Name, SmallFloatFormat Saturating, int SpecialCode, bool SaturatesByDefault, DType Hint)
{
    /// <summary>E8M0 has neither sign nor zero and is encoded by other code; of its entry only width and name count.</summary>
    public const string E8M0 = "e8m0";

    private static readonly ScalarElement[] All =
    [
        new("bf16", new SmallFloatFormat(16, 7, 127, 0x7F7F, 0x7F7F, 0x7FC0, true), 0x7F80, false, DType.BF16),
        new("f16", SmallFloatFormat.Half.OverflowingTo(0x7BFF), 0x7C00, false, DType.F16),
        new("e4m3fn", SmallFloatFormat.E4M3Fn, 0x7F, true, DType.F8E4M3FN),
        new("e4m3fnuz", SmallFloatFormat.E4M3Fnuz, 0x80, true, DType.F8E4M3FNUZ),
        new("e5m2", SmallFloatFormat.E5M2, 0x7C, true, DType.F8E5M2),
        new("e5m2fnuz", SmallFloatFormat.E5M2Fnuz, 0x80, true, DType.F8E5M2FNUZ),
        new("e4m3", SmallFloatFormat.E4M3Ieee, 0x78, true, DType.F8E4M3FN),
        new("e3m2", SmallFloatFormat.E3M2, -1, true, DType.F6E3M2),
        new("e2m3", SmallFloatFormat.E2M3, -1, true, DType.F6E2M3),
        new("e2m1", SmallFloatFormat.E2M1, -1, true, DType.F4E2M1),
        new(E8M0, new SmallFloatFormat(8, 0, 127, 254, 254, 255, false), -1, true, DType.F8E8M0),
    ];

    /// <summary>Names of all element types.</summary>
    public static string[] Names { get; } = [.. All.Select(e => e.Name)];

    /// <summary>Values of the codes of a type of at most 8 bits, repeated to 256; null for wider types.</summary>
    public ByteTable? Table { get; } = Saturating.Bits > 8 ? null : new ByteTable(Repeated(Name, Saturating));

    /// <summary>The type as an element of block floats, for the types whose codes are not whole bytes.</summary>
    public ElementFormat? Packed { get; } = Name switch
    {
        "e3m2" => ElementFormat.E3M2,
        "e2m3" => ElementFormat.E2M3,
        "e2m1" => ElementFormat.E2M1,
        _ => null,
    };

    public int Bits => Saturating.Bits;

    public static ScalarElement Get(string name) => Array.Find(All, e => e.Name == name)!;

    private static float[] Repeated(string name, in SmallFloatFormat format)
    {
        float[] values = name == E8M0
            ? [.. Enumerable.Range(0, 256).Select(c => Numbers.E8M0.Decode((byte)c))]
            : SmallFloatReference.DecodeTable(format);
        return [.. Enumerable.Range(0, 256).Select(c => values[c % values.Length])];
    }
}
