namespace ModelPack.Kernels.MatMul;

/// <summary>
/// How the codes of a tile lie in memory. A tile is 16 rows; a unit is 16 or 32 columns of it. A unit is a sequence of vectors of 64 bytes, in which bytes 4r to 4r + 3 belong to row r: byte b of row r holds bits of the codes
/// of columns b, 4 + b, 8 + b and so on, lowest bits first. A group is four columns: g is the columns 4g to 4g + 3. Widths that are no power of two are split into planes of 4, 2 and 1 bits, each laid out so, in that order.
/// </summary>
internal unsafe interface ICodes
{
    /// <summary>Width of a code.</summary>
    static abstract int Bits { get; }

    /// <summary>Columns of a unit: 16, or 32 where a plane of single bits fills a vector only then.</summary>
    static abstract int UnitColumns { get; }

    /// <summary>The four codes of a group, one per byte, of as many rows as the vector has lanes.</summary>
    /// <param name="unit">The unit, plus 4 bytes for every row left out in front.</param>
    /// <param name="group">A constant below UnitColumns / 4.</param>
    static abstract TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd>;

    /// <summary>As <see cref="Group"/>, but above the codes there may be other bits.</summary>
    static abstract TSimd Low<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd>;

    /// <summary>What <see cref="Lane"/> needs of a group: its codes, or the vector that holds them.</summary>
    static abstract TSimd Raw<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd>;

    /// <summary>The code of column 4 x group + column in the lowest bits of every lane; above it may be other bits.</summary>
    static abstract TSimd Lane<TSimd>(TSimd raw, int group, int column)
        where TSimd : struct, ISimd<TSimd>;
}
