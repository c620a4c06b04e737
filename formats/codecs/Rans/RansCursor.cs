namespace ModelPack.Codecs;

/// <summary>Where a decoder stands in the words and the escapes. Lives on the stack of the binding; the memory behind the pointers is fixed by it.</summary>
internal unsafe struct RansCursor
{
    /// <summary>The next word, not aligned.</summary>
    public byte* Word;

    /// <summary>The end of the words.</summary>
    public byte* WordEnd;

    /// <summary>The end of memory that may be read from <see cref="Word"/> on; not before <see cref="WordEnd"/>.</summary>
    public byte* WordReadable;

    /// <summary>The next escaped symbol.</summary>
    public byte* Escape;

    /// <summary>The end of the escaped symbols; 64 bytes more may be read.</summary>
    public byte* EscapeEnd;
}
