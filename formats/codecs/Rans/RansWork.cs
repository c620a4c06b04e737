namespace ModelPack.Codecs;

/// <summary>What the encoder of a block works on. Lives on the stack of the binding; the memory behind the pointers is fixed by it.</summary>
internal unsafe struct RansWork
{
    /// <summary>The symbols, <see cref="Count"/> of them.</summary>
    public byte* Symbols;

    public int Count;

    /// <summary>Their entries.</summary>
    public byte* Entries;

    /// <summary>Counts of 32 entries for every block.</summary>
    public ushort* Histograms;

    /// <summary>The class of every block.</summary>
    public byte* Labels;

    /// <summary>Room for other labels.</summary>
    public byte* OtherLabels;

    /// <summary>Escaped symbols, <see cref="EscapeCount"/> of them.</summary>
    public byte* Escapes;

    public int EscapeCount;

    /// <summary>The first word; they end at <see cref="WordEnd"/>.</summary>
    public ushort* Word;

    public ushort* WordEnd;

    /// <summary>Tables.</summary>
    public int Classes;

    /// <summary>log2 of the rows of a block.</summary>
    public int BlockBits;

    /// <summary>Blocks, the last of which may be shorter.</summary>
    public readonly int Blocks => ((Count - 1) >> (RansFormat.RowBits + BlockBits)) + 1;
}
