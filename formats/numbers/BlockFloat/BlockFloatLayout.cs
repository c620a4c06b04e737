namespace ModelPack.Numbers;

/// <summary>A block float format on rows of a given length, all arguments resolved.</summary>
/// <param name="Element">What codes mean.</param>
/// <param name="Columns">Values per row.</param>
/// <param name="Block">Values that share a scale; at least 1. Blocks start at multiples of 16 values.</param>
/// <param name="Scale">Stored type of scales.</param>
/// <param name="Mode">For E8M0 scales.</param>
/// <param name="Given">How values are scaled where one scale serves the whole tensor; then <paramref name="Scale"/> is F32 and nothing is chosen.</param>
internal readonly record struct BlockFloatLayout(ElementFormat Element, int Columns, int Block, BlockScaleType Scale, ScaleMode Mode, BlockMap? Given = null)
{
    /// <summary>Scales per row.</summary>
    public int BlockCount => Scale == BlockScaleType.None ? 0 : (int)(((long)Columns + Block - 1) / Block);

    /// <summary>Codes side by side, the row padded to whole bytes.</summary>
    public int CodeBytesPerRow => (int)((((long)Columns * Element.Bits) + 7) / 8);

    public int ScaleBytes => Scale switch
    {
        BlockScaleType.None => 0,
        BlockScaleType.F32 => 4,
        BlockScaleType.F16 or BlockScaleType.BF16 => 2,
        _ => 1,
    };
}
