namespace ModelPack.Numbers;

/// <summary>BitNet's layouts for look-up tables: TL1 in pairs of trits, TL2 in threes. See SPEC.md.</summary>
/// <param name="triples">True for TL2.</param>
internal sealed class BitNetTableFormat(bool triples) : BitNetFormat(
    triples ? "bitnet-tl2" : "bitnet-tl1",
    triples
        ? "BitNet TL2 (x86): ternary values in threes of 5 bits, in the order of a kernel: tiles=BMxBKxbm, one scale per tensor"
        : "BitNet TL1 (ARM): ternary values in pairs of 4 bits, in the order of a kernel: tiles=BMxBKxbm, one scale per tensor")
{
    /// <summary>Tiles of a matrix in a file for which they could not be found out.</summary>
    public const string Unknown = "unknown";

    public override IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly("rule", "scale", "tiles");
        (UnitSpec full, bool mean, float? scale) = Arguments(spec);
        _ = RowLimits.Columns(Id, shape);
        BitNetTiles tiles = Tiles(spec, shape);
        if (!tiles.AreValid(triples))
        {
            string needs = triples ? "BM a multiple of 32, BK of 96, bm 32" : "bm 16, 32 or 64, BM a multiple of it, BK of 256/bm";
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': tiles={tiles} are not tiles of a kernel; they need {needs}");
        }

        var layout = BitNetTableLayout.Of(Id, shape, tiles, triples);
        return new BoundBitNetTableFormat(full.With("tiles", tiles.ToString()), layout, mean, scale, tier);
    }

    private BitNetTiles Tiles(UnitSpec spec, Shape shape)
    {
        if (!spec.Arguments.TryGetValue("tiles", out string? text))
        {
            return BitNetTiles.Default(triples);
        }

        return BitNetTiles.Parse(text) ?? throw new ModelPackException(
            ErrorCodes.BadUnitArgument,
            text == Unknown
                ? $"'{Id}': bitnet.cpp has no kernel for a matrix {shape} of its own, and the file does not say the tiles of the one it was made for; copy include/kernel_config.ini of that build beside the file"
                : $"'{Id}': tiles={text} is not of the form BMxBKxbm, such as {BitNetTiles.Default(triples)}");
    }
}
