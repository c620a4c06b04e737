namespace ModelPack.Compiler.Planning;

/// <summary>
/// A weight stored as blocks of integers: what the planner reads out of an encoding tree. The matrix view is [Rows, Columns] with blocks
/// along the columns.
/// </summary>
/// <param name="Encoding">The dense node of the tree.</param>
/// <param name="Transposed">True when the tensor is the transpose of the stored matrix, that is <c>permuted(perm=1x0)</c>.</param>
/// <param name="Bits">Bits per code.</param>
/// <param name="Block">Values per block.</param>
/// <param name="Symmetric">True when no zero points are stored.</param>
internal sealed record BlockWeight(DenseEncoding Encoding, bool Transposed, int Bits, long Block, bool Symmetric)
{
    /// <summary>Rows of the stored matrix.</summary>
    public long Rows => Encoding.Shape.Rows;

    /// <summary>Columns of the stored matrix.</summary>
    public long Columns => Encoding.Shape.Columns;

    /// <summary>Blocks in a row.</summary>
    public long BlockCount => (Columns + Block - 1) / Block;

    /// <summary>Bytes of the codes of one block.</summary>
    public long BlobBytes => ((Block * Bits) + 7) / 8;

    /// <summary>Bytes of the zero points of one row.</summary>
    public long ZeroPointBytes => ((BlockCount * Bits) + 7) / 8;

    /// <summary>Bytes of all streams as a kernel reads them, scales widened to f32.</summary>
    public long KernelBytes => Rows * ((BlockCount * (BlobBytes + 4)) + (Symmetric ? 0 : ZeroPointBytes));

    /// <summary>Recognises <c>intN(...)</c> and <c>permuted(perm=1x0) &gt; intN(...)</c> of rank 2; null for everything else.</summary>
    public static BlockWeight? Of(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding dense => Of(dense, false),
        StructuredEncoding { Components: [DenseEncoding dense] } s when s.Structure.Id == "permuted" && s.Structure.Text("perm", "") == "1x0" => Of(dense, true),
        _ => null,
    };

    private static BlockWeight? Of(DenseEncoding dense, bool transposed)
    {
        UnitSpec spec = dense.Format;
        int bits = spec.Id switch
        {
            "int2" => 2,
            "int3" => 3,
            "int4" => 4,
            "int5" => 5,
            "int6" => 6,
            "int7" => 7,
            "int8" => 8,
            _ => 0,
        };
        if (bits == 0 || spec.Text("zeros", "int") != "int" || spec.Text("layout", "packed") != "packed" || dense.Shape.Rank != 2 || dense.Shape.Rows == 0 || dense.Shape.Columns == 0)
        {
            return null;
        }

        // Defaults as in the specification of the format; an encoded tensor states all of them.
        string block = spec.Text("block", "32");
        bool wholeRow = block is "row" or "0";
        return new BlockWeight(dense, transposed, bits, wholeRow ? dense.Shape.Columns : spec.Int("block", 32, 1, 1 << 28), spec.Flag("symmetric", true));
    }
}
