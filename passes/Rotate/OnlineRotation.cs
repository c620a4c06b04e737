using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// A rotation that the graph computes, where no constant before the layer could take it up:
/// <code>
/// MatMul(x, W)   =>   Reshape(x, [-1, K / b, b]) -> MatMul(., R [b, b]) -> Reshape(., Shape(x)) -> MatMul(., R^T W)
/// </code>
/// </summary>
internal static class OnlineRotation
{
    /// <summary>Largest b: the product costs so many multiplications per value.</summary>
    public const int MostChannels = 256;

    /// <summary>Puts the operator before a linear layer, and the rotation into its weight.</summary>
    /// <param name="editor">The graph.</param>
    /// <param name="rotations">Where the weight's rotation goes.</param>
    /// <param name="use">The layer's weight, with the axis that it sums over.</param>
    /// <param name="most">Largest block wanted.</param>
    /// <param name="random">Source of the signs.</param>
    public static void Insert(GraphEditor editor, Rotations rotations, WeightUse use, int most, SplitMix64 random)
    {
        int channels = checked((int)use.Tensor.Shape[use.Axis]);
        HadamardMatrix hadamard = HadamardMatrix.Dividing(channels, Math.Min(most, MostChannels));
        int size = hadamard.Order;
        ChannelRotation block = ChannelRotation.Random(size, hadamard, random);
        rotations.Add(use, block with { Factors = [.. Enumerable.Range(0, channels / size).SelectMany(_ => block.Factors)] });

        Node node = rotations.Node(use.Node);
        string value = node.Input(0);
        string matrix = editor.UniqueName($"{use.Tensor.Name}_rotation");
        editor.AddInitializer(Matrix(matrix, block));
        string rotated = editor.UniqueName($"{value}_rotated");
        if (size == channels)
        {
            editor.InsertBefore(use.Node, new Node { Name = $"{node.Handle}_rotation", OpType = "MatMul", Inputs = [value, matrix], Outputs = [rotated] });
        }
        else
        {
            string shape = editor.UniqueName($"{value}_shape");
            string blocks = editor.UniqueName($"{value}_blocks");
            string split = editor.UniqueName($"{value}_split");
            string turned = editor.UniqueName($"{value}_turned");
            editor.AddInitializer(SmallConstants.Integers(blocks, new Shape(3), [-1, channels / size, size]));
            editor.InsertBefore(
                use.Node,
                new Node { OpType = "Shape", Inputs = [value], Outputs = [shape] },
                new Node { OpType = "Reshape", Inputs = [value, blocks], Outputs = [split] },
                new Node { Name = $"{node.Handle}_rotation", OpType = "MatMul", Inputs = [split, matrix], Outputs = [turned] },
                new Node { OpType = "Reshape", Inputs = [turned, shape], Outputs = [rotated] });
        }

        rotations.Replace(use.Node, node with { Inputs = node.Inputs.SetItem(0, rotated) });
    }

    /// <summary>R, marked as encoded so that quantize leaves it alone.</summary>
    private static Tensor Matrix(string name, ChannelRotation block)
    {
        int size = block.Channels;
        float[] values = new float[size * size];
        for (int row = 0; row < size; row++)
        {
            for (int column = 0; column < size; column++)
            {
                values[(row * size) + column] = (float)(block.Factors[row] * block.Block[row, column]);
            }
        }

        var shape = new Shape(size, size);
        Tensor plain = SmallConstants.Floats(name, shape, values);
        return plain with { Encoding = DenseEncoding.Pending(new UnitSpec(DType.F32.Name()), plain.Encoding) };
    }
}
