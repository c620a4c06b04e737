using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Takes the vector that a norm adds through a linear layer behind it:
/// <code>
/// MatMul(z * g + b, W) -> y   =>   MatMul(z * g, W) -> p;  Add(p, b W) -> y
/// </code>
/// b W in f64, rounded once.
/// </summary>
internal static class NormShift
{
    private const int TileElements = 1 << 20;

    /// <summary>Adds the vector to the outputs of a layer; the norm's own has to go.</summary>
    /// <param name="editor">The graph.</param>
    /// <param name="index">The same graph.</param>
    /// <param name="rotations">What else becomes of the layer: its outputs may be rotated, which the vector follows.</param>
    /// <param name="reader">The weight of the layer, a matrix.</param>
    /// <param name="shift">b, one number per input.</param>
    /// <param name="context">For values.</param>
    public static void Insert(GraphEditor editor, GraphIndex index, Rotations rotations, WeightUse reader, Tensor shift, PassContext context)
    {
        Node node = rotations.Node(reader.Node);
        double[] outputs = Product(context.OpenValues(shift.Encoding), context.OpenValues(reader.Tensor.Encoding), reader.Axis);
        double alpha = node.Is("Gemm") ? node.Float("alpha", 1) : 1;
        for (int i = 0; i < outputs.Length; i++)
        {
            outputs[i] *= alpha;
        }

        if (rotations.OfOutputs(reader.Node) is ChannelRotation rotation)
        {
            rotation.Apply(outputs, new double[rotation.Block.Core]);
        }

        string output = index.Graph.Nodes[reader.Node].Outputs[0];
        string product = editor.UniqueName($"{output}_unshifted");
        string name = editor.UniqueName($"{output}_shift");
        editor.AddInitializer(SmallConstants.Floats(name, new Shape(outputs.Length), [.. outputs.Select(v => (float)v)]));
        rotations.Replace(reader.Node, node with { Outputs = [product] });
        editor.InsertAfter(reader.Node, new Node { Name = $"{node.Handle}_shift", OpType = "Add", Inputs = [product, name], Outputs = [output] });
    }

    /// <summary>b W, or b W^T where inputs lie along axis 1 of the matrix.</summary>
    private static double[] Product(IValueReader shift, IValueReader weight, int inputAxis)
    {
        float[] vector = new float[shift.Shape.ElementCount];
        shift.ReadRows(0, checked((int)shift.Shape.Rows), vector);
        int rows = checked((int)weight.Shape.Rows);
        int columns = checked((int)weight.Shape.Columns);
        double[] sums = new double[inputAxis == 0 ? columns : rows];
        int tile = Math.Max(1, TileElements / columns);
        float[] values = new float[Math.Min(tile, rows) * columns];
        for (int first = 0; first < rows; first += tile)
        {
            int count = Math.Min(tile, rows - first);
            weight.ReadRows(first, count, values.AsSpan(0, count * columns));
            for (int i = 0; i < count * columns; i++)
            {
                (int row, int column) = (first + (i / columns), i % columns);
                sums[inputAxis == 0 ? column : row] += (double)vector[inputAxis == 0 ? row : column] * values[i];
            }
        }

        return sums;
    }
}
