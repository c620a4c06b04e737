namespace ModelPack.Numbers;

/// <summary>A block type of ggml that holds ternary values.</summary>
internal sealed class GgufTernaryFormat(string id, string summary, GgufCodec codec) : GgufFormat(id, summary, codec), ITernaryFormat
{
    /// <summary>The scale is the largest magnitude of a block: exact where it is an f16.</summary>
    public UnitSpec Lossless(UnitSpec spec) => spec;

    public bool IsPerRow(UnitSpec spec) => false;
}
