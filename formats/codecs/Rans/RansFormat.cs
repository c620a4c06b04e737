namespace ModelPack.Codecs;

/// <summary>The constants of the rANS block and the order of its states. See SPEC.md in this folder.</summary>
internal static class RansFormat
{
    /// <summary>States of the coder, and symbols of a row: one for each.</summary>
    public const int States = 128;

    /// <summary>log2 of <see cref="States"/>.</summary>
    public const int RowBits = 7;

    /// <summary>Slots of a table: frequencies add up to it.</summary>
    public const int Slots = 256;

    /// <summary>Every state is at least this, and below it times <see cref="WordRange"/>; it is also the value at the end.</summary>
    public const uint LowerBound = 1u << 15;

    /// <summary>Values of a word.</summary>
    public const uint WordRange = 1u << 16;

    /// <summary>Most tables of a block.</summary>
    public const int MaxTables = 16;

    /// <summary>Most entries of a table: 31 symbols and the escape.</summary>
    public const int MaxEntries = 32;

    /// <summary>Rows that a class label is for, as powers of two: 1 to 8.</summary>
    public const int MaxBlockBits = 3;

    /// <summary>Bits of a label, 0 to 4: enough for <paramref name="classes"/>.</summary>
    public static int LabelBits(int classes) => System.Numerics.BitOperations.Log2((uint)((2 * classes) - 1));

    /// <summary>
    /// Where the symbol of a state stands in its row. State 16 j + i is lane i of vector j; byte 4 i + j of a vector of bytes is then lane i of the j-th of four vectors, so that
    /// shifts and blends alone join the lowest bytes of four vectors of states.
    /// </summary>
    public static int Position(int state) => (64 * (state >> 6)) + (4 * (state & 15)) + ((state >> 4) & 3);
}
