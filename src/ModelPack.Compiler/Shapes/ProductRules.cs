namespace ModelPack.Compiler.Shapes;

/// <summary>Products of matrices, and operators of language models.</summary>
internal static class ProductRules
{
    public static void MatMul(NodeShapes node) => Multiply(node, 0, 1, node.Input(0).DType);

    public static void MatMulInteger(NodeShapes node) => Multiply(node, 0, 1, DType.I32);

    public static void QLinearMatMul(NodeShapes node) => Multiply(node, 0, 3, node.Input(7).DType);

    public static void Gemm(NodeShapes node)
    {
        if (node.Shape(0) is Shape a && node.Shape(1) is Shape b)
        {
            (long rows, long inner) = node.Node.Int("transA", 0) != 0 ? (a[1], a[0]) : (a[0], a[1]);
            (long inner2, long columns) = node.Node.Int("transB", 0) != 0 ? (b[1], b[0]) : (b[0], b[1]);
            ArgumentOutOfRangeException.ThrowIfNotEqual(inner2, inner);
            node.Give(0, node.Input(0).DType, new Shape(rows, columns));
        }
    }

    /// <summary>Products whose weight is packed: the attribute N says how many outputs there are.</summary>
    public static void Packed(NodeShapes node)
    {
        if (node.Shape(0) is Shape x)
        {
            node.Give(0, node.Input(0).DType, LayoutRules.With(x, x.Rank - 1, node.Node.Int("N", 0)));
        }
    }

    public static void Einsum(NodeShapes node)
    {
        string[] sides = node.Text("equation", "").Replace(" ", "", StringComparison.Ordinal).Split("->");
        if (sides is not [var left, var right] || right.Contains('.', StringComparison.Ordinal))
        {
            return;
        }

        var sizes = new Dictionary<char, long>();
        string[] terms = left.Split(',');
        for (int i = 0; i < terms.Length; i++)
        {
            if (node.Shape(i) is not Shape shape || shape.Rank != terms[i].Length)
            {
                return;
            }

            for (int axis = 0; axis < shape.Rank; axis++)
            {
                sizes[terms[i][axis]] = Math.Max(shape[axis], sizes.GetValueOrDefault(terms[i][axis]));
            }
        }

        node.Give(0, node.Input(0).DType, new Shape([.. right.Select(letter => sizes[letter])]));
    }

    public static void Quantize(NodeShapes node)
    {
        DType named = OnnxTypes.FromNumber(node.Node.Int("output_dtype", 0));
        node.Give(0, node.Has(2) ? node.Input(2).DType : named == DType.Undefined ? DType.U8 : named, node.Shape(0));
    }

    public static void Dequantize(NodeShapes node) => node.Give(0, node.Input(1).DType, node.Shape(0));

    public static void DynamicQuantize(NodeShapes node)
    {
        node.Give(0, DType.U8, node.Shape(0));
        node.Give(1, DType.F32, Shape.Scalar);
        node.Give(2, DType.U8, Shape.Scalar);
    }

    /// <summary>The normalised input; the sum of input and skip is the fourth output.</summary>
    public static void SkipNormalization(NodeShapes node)
    {
        node.Give(0, node.Input(0));
        node.Give(3, node.Input(0));
    }

    /// <summary>The normalised input, with mean and deviation of what was normalised together.</summary>
    public static void LayerNormalization(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        node.Give(0, x);
        if (x.Shape is Shape shape)
        {
            int axis = NodeShapes.Axis(node.Node.Int("axis", -1), shape.Rank);
            var reduced = new Shape([.. shape.Dims.Select((d, i) => i < axis ? d : 1)]);
            node.Give(1, DType.F32, reduced);
            node.Give(2, DType.F32, reduced);
        }
    }

    /// <summary>Attention with grouped heads of [batch, tokens, heads * size], and keys and values with the new ones: as many as came in where these had room, else as many as there are (input 6).</summary>
    public static void GroupQueryAttention(NodeShapes node)
    {
        if (node.Shape(0) is not Shape query || query.Rank != 3)
        {
            return;
        }

        long heads = node.Node.Int("num_heads", 1);
        long kvHeads = node.Node.Int("kv_num_heads", heads);
        long size = node.Has(1) ? query[2] / heads : query[2] / (heads + (2 * kvHeads));
        node.Give(0, node.Input(0).DType, new Shape(query[0], query[1], heads * size));
        if (node.Shape(3) is Shape past)
        {
            long tokens = node.Integers(6) is [long all, ..] ? Math.Max(past[2], all) : past[2] + query[1];
            var present = new Shape(query[0], kvHeads, tokens, size);
            node.Give(1, node.Input(3).DType, present);
            node.Give(2, node.Input(3).DType, present);
        }
    }

    /// <summary>LSTM, GRU and RNN: every state, and the last ones.</summary>
    public static void Recurrent(NodeShapes node)
    {
        if (node.Shape(0) is not Shape x || node.Shape(1) is not Shape weight)
        {
            return;
        }

        bool batchFirst = node.Node.Int("layout", 0) != 0;
        long directions = weight[0];
        long hidden = node.Shape(2) is Shape recurrent ? recurrent[2] : node.Node.Int("hidden_size", 0);
        (long steps, long batch) = batchFirst ? (x[1], x[0]) : (x[0], x[1]);
        DType dtype = node.Input(0).DType;
        node.Give(0, dtype, batchFirst ? new Shape(batch, steps, directions, hidden) : new Shape(steps, directions, batch, hidden));
        Shape last = batchFirst ? new Shape(batch, directions, hidden) : new Shape(directions, batch, hidden);
        node.Give(1, dtype, last);
        node.Give(2, dtype, last);
    }

    private static void Multiply(NodeShapes node, int left, int right, DType dtype)
    {
        if (node.Shape(left) is not Shape a || node.Shape(right) is not Shape b)
        {
            return;
        }

        // A vector on the left is a row, one on the right a column; the axis goes again afterwards.
        Shape rows = a.Rank == 1 ? new Shape(1, a[0]) : a;
        Shape columns = b.Rank == 1 ? new Shape(b[0], 1) : b;
        ArgumentOutOfRangeException.ThrowIfNotEqual(columns[-2], rows[-1]);
        Shape batch = ElementwiseRules.Together([new Shape(rows.Dims.AsSpan()[..^2]), new Shape(columns.Dims.AsSpan()[..^2])]);
        node.Give(0, dtype, new Shape([.. batch.Dims, .. a.Rank == 1 ? [] : new[] { rows[-2] }, .. b.Rank == 1 ? [] : new[] { columns[-1] }]));
    }
}
