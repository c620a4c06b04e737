using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>How the input of a linear layer is rounded to 8 bits.</summary>
/// <param name="Round">Whether it is; null where nothing says so.</param>
/// <param name="Scale">A constant scale; null: one of every run.</param>
internal readonly record struct RoundedInput(bool? Round, float? Scale = null);

/// <summary>How a graph rounds the inputs of its linear layers.</summary>
internal static class RoundedInputs
{
    /// <summary>By the name of the weight; layers that read floats are not there.</summary>
    /// <exception cref="ModelPackException">MP4107: rounded to a format that other runtimes do not have.</exception>
    public static SortedDictionary<string, RoundedInput> Of(Graph graph)
    {
        var inputs = new SortedDictionary<string, RoundedInput>(StringComparer.Ordinal);
        var index = new GraphIndex(graph);
        foreach (Node node in graph.Nodes.Where(n => n.Is("MatMul") || n.Is("Gemm")))
        {
            if (Weight(index, node.Input(1)) is Tensor weight && Rounding(index, node.Input(0), weight.Name) is RoundedInput input)
            {
                inputs[weight.Name] = input;
            }
        }

        return inputs;
    }

    /// <summary><c>DequantizeLinear(codes, scale)</c>, or the same times the scales of rows.</summary>
    private static RoundedInput? Rounding(GraphIndex index, string value, string weight)
    {
        Node? maker = index.Producer(value);
        Node? dequantize = maker is not null && maker.Is("Mul") ? index.Producer(maker.Input(0)) : maker;
        if (dequantize is null || !dequantize.Is("DequantizeLinear"))
        {
            return null;
        }

        if (index.Producer(dequantize.Input(0)) is Node quantize && quantize.Is("QuantizeLinear") && index.Constant(quantize.Input(2)) is { DType: DType.F8E5M2 })
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, "its activations are rounded to f8e5m2, which runtimes do not have for them; --activations none or dynamic writes something else", tensor: weight);
        }

        bool constant = maker == dequantize && index.Constant(dequantize.Input(1)) is { DType: DType.F32, Shape.ElementCount: 1 } scale && scale.TryGetRawData(out _);
        return new RoundedInput(true, constant ? Number(index.Constant(dequantize.Input(1))!) : null);
    }

    private static float Number(Tensor scale) => scale.TryGetRawData(out TensorData data) ? BitConverter.ToSingle(data.ToArray()) : throw new InvalidOperationException();

    /// <summary>The constant that a value is, behind what turns or widens it.</summary>
    private static Tensor? Weight(GraphIndex index, string value)
    {
        while (index.Constant(value) is null && index.Producer(value) is Node maker && (maker.Is("Transpose") || maker.Is("Cast") || maker.Is("Identity")))
        {
            value = maker.Input(0);
        }

        return index.Constant(value);
    }
}
