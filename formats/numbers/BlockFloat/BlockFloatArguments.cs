namespace ModelPack.Numbers;

/// <summary>Arguments of block float formats as text.</summary>
internal static class BlockFloatArguments
{
    private static readonly string[] Modes = ["floor", "ceil", "rceil", "even"];

    private static readonly string[] Scales = ["none", "e8m0", "e4m3", "f16", "bf16", "f32"];

    private static readonly string[] SpecialNames = ["none", "fn", "ieee", "fnuz"];

    /// <exception cref="ModelPackException">MP1022: no such mode.</exception>
    public static ScaleMode Mode(UnitSpec spec) => (ScaleMode)Choice(spec, "mode", "floor", Modes);

    /// <exception cref="ModelPackException">MP1022: no such type.</exception>
    public static BlockScaleType Scale(UnitSpec spec) => (BlockScaleType)Choice(spec, "scale", "e8m0", Scales);

    /// <exception cref="ModelPackException">MP1022: no such rule.</exception>
    public static FloatSpecials Specials(UnitSpec spec, FloatSpecials fallback) => (FloatSpecials)Choice(spec, "specials", Name(fallback), SpecialNames);

    public static string Name(ScaleMode mode) => Modes[(int)mode];

    public static string Name(BlockScaleType scale) => Scales[(int)scale];

    public static string Name(FloatSpecials specials) => SpecialNames[(int)specials];

    private static int Choice(UnitSpec spec, string key, string fallback, string[] values)
    {
        string text = spec.Text(key, fallback);
        int index = Array.IndexOf(values, text);
        return index >= 0 ? index : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': {key}={text} is not one of {string.Join(", ", values)}");
    }
}
