namespace ModelPack.Codecs;

/// <summary>
/// Where the decoder of a block stands: for every stream the position of its next bit, counted from the start of the block, and the next symbol to be written. Lives on the stack of
/// the binding.
/// </summary>
internal unsafe struct HuffmanStreams
{
    /// <summary>Streams of a block that is long enough.</summary>
    public const int Most = 8;

    /// <summary>Next bit of each stream; the highest bit of a byte comes first.</summary>
    public fixed long Bit[Most];

    /// <summary>Bit after the last one of each stream: where its end mark stands.</summary>
    public fixed long EndBit[Most];

    /// <summary>Next symbol of each stream, from the start of the symbols.</summary>
    public fixed int Symbol[Most];

    /// <summary>Symbol after the last one of each stream.</summary>
    public fixed int EndSymbol[Most];

    /// <summary>Streams in use: 1 or <see cref="Most"/>.</summary>
    public int Count;
}
