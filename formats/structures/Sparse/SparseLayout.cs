namespace ModelPack.Structures;

/// <summary>
/// Where the stored values of a sparse matrix [rows, columns] lie. Two components: a mask, raw u8 [mask rows, bytes], and the values in any number format. A mask row covers a
/// <i>band</i> of <see cref="BandRows"/> matrix rows, and each of its bits stands for <see cref="ValuesPerBit"/> stored values.
/// </summary>
internal abstract class SparseLayout
{
    /// <summary>Most elements of a band: what a reader may have to hold at once.</summary>
    private const long MaxBandElements = 1 << 26;

    /// <param name="unit">The structure with its arguments.</param>
    /// <param name="shape">Shape of the matrix.</param>
    /// <param name="bandRows">Matrix rows per mask row.</param>
    /// <param name="maskBits">Bits of a mask row.</param>
    /// <param name="valuesPerBit">Stored values per bit set.</param>
    /// <exception cref="ModelPackException">MP1020: not a matrix with elements, or a band of it is too large.</exception>
    protected SparseLayout(UnitSpec unit, Shape shape, int bandRows, long maskBits, int valuesPerBit)
    {
        if (shape.Rank != 2 || !shape.TryElementCount(out long count) || count == 0)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{unit}' makes matrices that have elements, not {shape}");
        }

        (Unit, Shape, Rows, Columns) = (unit, shape, shape[0], shape[1]);
        (BandRows, MaskBits, ValuesPerBit) = (bandRows, maskBits, valuesPerBit);
        MaskRows = ((Rows - 1) / bandRows) + 1;
        if (Math.Min(Rows, bandRows) * (Int128)Columns > MaxBandElements)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{unit}' of {shape}: {Math.Min(Rows, bandRows)} rows are more than {MaxBandElements} elements");
        }
    }

    public UnitSpec Unit { get; }

    public Shape Shape { get; }

    public long Rows { get; }

    public long Columns { get; }

    /// <summary>Matrix rows that a mask row covers; the last band may have fewer.</summary>
    public int BandRows { get; }

    /// <summary>Bits of a mask row.</summary>
    public long MaskBits { get; }

    /// <summary>Rows of the mask: bands of the matrix.</summary>
    public long MaskRows { get; }

    /// <summary>Stored values per bit set.</summary>
    public int ValuesPerBit { get; }

    /// <summary>Shape of the mask component.</summary>
    public Shape MaskShape => new(MaskRows, (MaskBits + 7) / 8);

    /// <summary>Bits set in every mask row, where the layout fixes that; 0 otherwise.</summary>
    public virtual long BitsPerRow => 0;

    /// <summary>Shape of the values component for a number of bits set.</summary>
    public abstract Shape ValuesShape(long bitsSet);

    /// <summary>Whether a values component of that shape is possible; the mask says whether it is right.</summary>
    public abstract bool CanHave(Shape values);

    /// <summary>Checks mask rows for what the layout asks of them.</summary>
    /// <exception cref="ModelPackException">MP1024.</exception>
    public virtual void Check(ReadOnlySpan<byte> mask, long firstRow)
    {
    }

    /// <summary>Puts the stored values of one band into place, zeros elsewhere.</summary>
    /// <param name="mask">The mask row.</param>
    /// <param name="values">Exactly its stored values.</param>
    /// <param name="band">Room for the band: <see cref="BandRows"/> rows or, at the end, fewer.</param>
    public abstract void Expand<T>(ReadOnlySpan<byte> mask, ReadOnlySpan<T> values, Span<T> band)
        where T : unmanaged;

    /// <summary>The way back: collects the stored values of one band; places outside of the matrix give zeros.</summary>
    public abstract void Gather<T>(ReadOnlySpan<byte> mask, ReadOnlySpan<T> band, Span<T> values)
        where T : unmanaged;

    /// <summary>Rows that band <paramref name="band"/> has.</summary>
    public int RowsOf(long band) => (int)Math.Min(BandRows, Rows - (band * BandRows));

    /// <summary>The layout a structure's arguments and shape name.</summary>
    /// <exception cref="ModelPackException">MP1022 wrong arguments, MP1020 no matrix.</exception>
    public static SparseLayout Of(UnitSpec unit, Shape shape) => unit.Id switch
    {
        BlockSparseStructure.Name => BlockLayout.Parse(unit, shape),
        NMStructure.Name => ElementLayout.Balanced(unit, shape, "m", 4, 16, "n"),
        BankBalancedStructure.Name => ElementLayout.Balanced(unit, shape, "bank", 16, 64, "kept"),
        _ => ElementLayout.Unstructured(unit, shape),
    };

    /// <summary>True for the structures that have such a layout.</summary>
    public static bool IsSparse(UnitSpec unit) => unit.Id is BlockSparseStructure.Name or NMStructure.Name or BankBalancedStructure.Name or BitmapStructure.Name;

    /// <summary>Checks components by their shapes.</summary>
    /// <exception cref="ModelPackException">MP1020.</exception>
    public void Validate(StructuredEncoding encoding)
    {
        if (encoding.Components is not [DenseEncoding { Format.Id: "u8", Streams: [EncodedStream], IsPending: false } mask, WeightEncoding values])
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Unit}' must have a mask, stored plainly as u8, and values");
        }

        if (mask.Shape != MaskShape || !CanHave(values.Shape))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Unit}' cannot make {Shape} of a mask {mask.Shape} and values {values.Shape}");
        }
    }
}
