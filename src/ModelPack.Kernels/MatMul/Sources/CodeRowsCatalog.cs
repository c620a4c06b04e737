namespace ModelPack.Kernels.MatMul;

/// <summary>Which number formats the kernels read, and how.</summary>
internal static class CodeRowsCatalog
{
    /// <summary>Format, and what makes its rows; null from there where arguments are not supported.</summary>
    public static IReadOnlyDictionary<string, Func<UnitSpec, int, CodeRows?>> All { get; } = new Dictionary<string, Func<UnitSpec, int, CodeRows?>>(StringComparer.Ordinal)
    {
        ["int8"] = IntegerRows.TryCreate,
        ["int7"] = IntegerRows.TryCreate,
        ["int6"] = IntegerRows.TryCreate,
        ["int5"] = IntegerRows.TryCreate,
        ["int4"] = IntegerRows.TryCreate,
        ["int3"] = IntegerRows.TryCreate,
        ["int2"] = IntegerRows.TryCreate,
        ["mxfp8"] = FloatRows.TryCreate,
        ["mxfp6"] = FloatRows.TryCreate,
        ["mxfp4"] = FloatRows.TryCreate,
        ["mxint8"] = FloatRows.TryCreate,
        ["float"] = FloatRows.TryCreate,
        ["nvfp4"] = FloatRows.TryCreateNvfp4,
        ["nf4"] = CodebookRows.TryCreate,
        ["fp4"] = CodebookRows.TryCreate,
        ["dyn8"] = CodebookRows.TryCreate,
        ["fp8"] = Fp8Rows.TryCreate,
        ["ternary"] = TernaryRows.TryCreate,
        ["posit8"] = UnscaledRows.TryCreate,
        ["posit16"] = PositRows.TryCreate,
        ["bfloat8"] = UnscaledRows.TryCreate,
        ["scalar"] = UnscaledRows.TryCreate,
        ["palette"] = UnscaledRows.TryCreateTensorwide,
        ["f8e4m3fn"] = UnscaledRows.TryCreate,
        ["f8e4m3fnuz"] = UnscaledRows.TryCreate,
        ["f8e5m2"] = UnscaledRows.TryCreate,
        ["f8e5m2fnuz"] = UnscaledRows.TryCreate,
        ["bf16"] = PlainRows.TryCreate,
        ["f16"] = PlainRows.TryCreate,
    };
}
