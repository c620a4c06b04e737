namespace ModelPack.Numbers;

/// <summary>An 8-bit element type of <c>fp8</c>.</summary>
internal sealed class Fp8Element
{
    /// <summary>By name, as in specs.</summary>
    private static readonly Fp8Element[] All =
    [
        new("e4m3fn", SmallFloatFormat.E4M3Fn, DType.F8E4M3FN),
        new("e4m3fnuz", SmallFloatFormat.E4M3Fnuz, DType.F8E4M3FNUZ),
        new("e5m2", SmallFloatFormat.E5M2, DType.F8E5M2),
        new("e5m2fnuz", SmallFloatFormat.E5M2Fnuz, DType.F8E5M2FNUZ),

        // Gaudi2: no dtype of files; the hint for codecs only says "sign, four exponent bits, three fraction bits".
        new("e4m3", SmallFloatFormat.E4M3Ieee, DType.F8E4M3FN),
    ];

    private Fp8Element(string name, SmallFloatFormat format, DType hint)
    {
        Name = name;
        Format = format;
        Hint = hint;
        Max = SmallFloatReference.DecodeFinite(format.MaxCode, format);
        Table = new ByteTable(SmallFloatReference.DecodeTable(format));
    }

    /// <summary>Names of all element types.</summary>
    public static string[] Names { get; } = [.. All.Select(e => e.Name)];

    public string Name { get; }

    /// <summary>Saturating.</summary>
    public SmallFloatFormat Format { get; }

    /// <summary>What the codes are, for the choice of a codec.</summary>
    public DType Hint { get; }

    /// <summary>Largest finite value.</summary>
    public float Max { get; }

    /// <summary>Values by code.</summary>
    public ByteTable Table { get; }

    public static Fp8Element Get(string name) => Array.Find(All, e => e.Name == name)!;
}
