using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Factors for the constants of a graph, collected axis by axis and applied once: a weight between two scaled values takes those of both and is rounded once.</summary>
internal sealed class ScaledConstants
{
    private readonly Dictionary<string, double[]?[]> _factors = new(StringComparer.Ordinal);

    /// <summary>True for constants that can be scaled and stay what they are to the graph: f32, stored plainly or transposed.</summary>
    public static bool CanScale(Tensor tensor) =>
        tensor.DType == DType.F32 && tensor.Shape.Rank >= 1 && tensor.Shape.ElementCount > 0 && Plain(tensor.Encoding) is not null;

    /// <summary>Divides a value: what makes it by the factors, what reads it is multiplied.</summary>
    /// <param name="value">The value.</param>
    /// <param name="scales">Its factors.</param>
    public void Apply(SmoothValue value, ReadOnlySpan<double> scales)
    {
        foreach (ScaledAxis consumer in value.Consumers)
        {
            Apply(consumer, scales, divide: false);
        }

        foreach (ScaledAxis producer in value.Producers)
        {
            Apply(producer, scales, divide: true);
        }
    }

    private void Apply(ScaledAxis axis, ReadOnlySpan<double> scales, bool divide)
    {
        if (!_factors.TryGetValue(axis.Tensor.Name, out double[]?[]? all))
        {
            _factors[axis.Tensor.Name] = all = new double[]?[axis.Tensor.Shape.Rank];
        }

        double[] factors = all[axis.Axis] ??= Ones(checked((int)axis.Tensor.Shape[axis.Axis]));
        for (int i = 0; i < factors.Length; i++)
        {
            double scale = scales[axis.ChannelOf(i)];
            factors[i] = divide ? factors[i] / scale : factors[i] * scale;
        }
    }

    /// <summary>The tensor with the factors collected for it so far; itself when there are none.</summary>
    public Tensor Scaled(Tensor tensor)
    {
        if (!_factors.TryGetValue(tensor.Name, out double[]?[]? factors))
        {
            return tensor;
        }

        double[]? second = factors.Length > 1 ? factors[1] : null;
        return tensor with { Encoding = Scale(tensor.Encoding, factors[0], second) };
    }

    /// <summary>The graph with all factors applied.</summary>
    public Graph ApplyTo(Graph graph)
    {
        var editor = new GraphEditor(graph);
        foreach (Tensor tensor in graph.Initializers.Where(t => _factors.ContainsKey(t.Name)))
        {
            editor.ReplaceInitializer(tensor.Name, Scaled(tensor));
        }

        return editor.Build();
    }

    private static DenseEncoding? Plain(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding dense when Structured.IsRaw(dense, out DType stored) && stored is DType.F32 or DType.F16 or DType.BF16 => dense,
        StructuredEncoding { Structure.Id: "permuted", Shape.Rank: 2, Components: [DenseEncoding inner] } => Plain(inner),
        _ => null,
    };

    /// <summary>The dense values lie as before; a transposed weight stays one, so that it is read along its rows.</summary>
    private static WeightEncoding Scale(WeightEncoding encoding, double[]? first, double[]? second)
    {
        if (encoding is StructuredEncoding transposed)
        {
            return Structured.Transpose(Scale(transposed.Components[0], second, first));
        }

        var dense = (DenseEncoding)encoding;
        _ = Structured.IsRaw(dense, out DType stored);
        first ??= Ones(checked((int)dense.Shape[0]));
        return DenseEncoding.Raw(DType.F32, dense.Shape, new ScaledWeightData(dense.Streams[0].Data, stored, first, second ?? [], dense.Shape.ElementCount));
    }

    private static double[] Ones(int count)
    {
        double[] ones = new double[count];
        Array.Fill(ones, 1);
        return ones;
    }
}
