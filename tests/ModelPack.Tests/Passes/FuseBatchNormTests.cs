using ModelPack.Compiler;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class FuseBatchNormTests
{
    private const float Epsilon = 1e-3f;

    [Theory]
    [InlineData("Conv", 1, true)]
    [InlineData("Conv", 1, false)]
    [InlineData("Conv", 2, true)]
    [InlineData("ConvTranspose", 1, true)]
    [InlineData("ConvTranspose", 2, false)]
    [InlineData("ConvTranspose", 3, true)]
    public void Run_fused_weights_compute_the_same_as_both_layers(string op, int groups, bool bias)
    {
        const int inPerGroup = 2;
        const int outPerGroup = 3;
        int inputs = inPerGroup * groups;
        int outputs = outPerGroup * groups;
        Tensor weight = op == "Conv" ? Ir.RandomOf(1, "w", outputs, inPerGroup, 2) : Ir.RandomOf(1, "w", inputs, outPerGroup, 2);
        Model model = Model(op, groups, bias, weight, outputs);

        Model fused = Pipeline.Run(model, Pipeline.Make("fuse-batchnorm"));

        Assert.Equal($"{op}(x,w,w_fused_bias)->y", fused.Graph.Text());
        Assert.Equal(["w", "w_fused_bias"], fused.Graph.Initializers.Select(t => t.Name));
        float[] x = Pipeline.Values(Ir.RandomOf(9, "", inputs, 2));
        double[] expected = Normalize(Convolve(op, groups, x, weight, bias ? Pipeline.Values(model.Initializer("b")) : null, outputs), model, outputs);
        double[] actual = Convolve(op, groups, x, fused.Initializer("w"), Pipeline.Values(fused.Initializer("w_fused_bias")), outputs);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.Equal(expected[i], actual[i], 1e-5);
        }
    }

    [Fact]
    public void Run_fused_weight_is_lazy_and_reads_alike_in_any_piece()
    {
        Tensor weight = Ir.RandomOf(1, "w", 4, 3, 5);
        Model fused = Pipeline.Run(Model("Conv", 1, true, weight, 4), Pipeline.Make("fuse-batchnorm"));
        Assert.True(fused.Initializer("w").TryGetRawData(out TensorData data));
        byte[] whole = data.ToArray();

        foreach (int piece in new[] { 1, 3, 4, 20, 60, 64, 239 })
        {
            byte[] pieces = new byte[whole.Length];
            for (int offset = 0; offset < pieces.Length; offset += piece)
            {
                data.Read(offset, pieces.AsSpan(offset, Math.Min(piece, pieces.Length - offset)));
            }

            Assert.Equal(whole, pieces);
        }
    }

    [Theory]
    [InlineData("shared weight")]
    [InlineData("result read twice")]
    [InlineData("result is output")]
    [InlineData("training")]
    [InlineData("negative variance")]
    [InlineData("parameter is input")]
    public void Run_where_fusing_would_change_something_else_leaves_the_graph(string obstacle)
    {
        Graph graph = Model("Conv", 1, true, Ir.RandomOf(1, "w", 4, 2, 2), 4).Graph;
        graph = obstacle switch
        {
            "shared weight" => graph with { Nodes = graph.Nodes.Add(Ir.Op("Conv", "x,w", "z")), Outputs = graph.Outputs.Add(new ValueInfo("z", ModelPack.Compiler.ValueType.Unknown)) },
            "result read twice" => graph with { Nodes = graph.Nodes.Add(Ir.Op("Neg", "c", "z")), Outputs = graph.Outputs.Add(new ValueInfo("z", ModelPack.Compiler.ValueType.Unknown)) },
            "result is output" => graph with { Outputs = graph.Outputs.Add(new ValueInfo("c", ModelPack.Compiler.ValueType.Unknown)) },
            "training" => graph with { Nodes = graph.Nodes.SetItem(1, graph.Nodes[1] with { Attributes = graph.Nodes[1].Attributes.Add(Ir.Int("training_mode", 1)) }) },
            "negative variance" => graph with { Initializers = [.. graph.Initializers.Select(t => t.Name == "var" ? Ir.F32("var", [4], -1, 1, 1, 1) : t)] },
            _ => graph with { Inputs = graph.Inputs.Add(new ValueInfo("gamma", ModelPack.Compiler.ValueType.Unknown)) },
        };
        Model before = Ir.Model(graph);

        Assert.Same(before, Pipeline.Run(before, Pipeline.Make("fuse-batchnorm")));
    }

    private static Model Model(string op, int groups, bool bias, Tensor weight, int channels)
    {
        Tensor Positive(string name, int seed)
        {
            float[] values = [.. Pipeline.Values(Ir.RandomOf(seed, "", channels)).Select(v => Math.Abs(v) + 0.1f)];
            return Ir.F32(name, [channels], values);
        }

        return Ir.Model(Ir.Graph("x", "y",
            [
                Ir.Op(op, bias ? "x,w,b" : "x,w", "c", Ir.Int("group", groups)),
                Ir.Op("BatchNormalization", "c,gamma,beta,mean,var", "y", new NodeAttribute("epsilon", new AttributeValue.Float(Epsilon))),
            ],
            [weight, .. bias ? [Ir.RandomOf(2, "b", channels)] : Array.Empty<Tensor>(), Ir.RandomOf(3, "gamma", channels), Ir.RandomOf(4, "beta", channels), Ir.RandomOf(5, "mean", channels), Positive("var", 6)]));
    }

    /// <summary>One spatial axis: Conv on inputs [I, 2] with kernel 2 gives one position; ConvTranspose on the first position [I, 1] gives two.</summary>
    private static double[] Convolve(string op, int groups, float[] x, Tensor weight, float[]? bias, int outputs)
    {
        float[] w = Pipeline.Values(weight);
        int inputs = x.Length / 2;
        int inPerGroup = inputs / groups;
        int outPerGroup = outputs / groups;
        int positions = op == "Conv" ? 1 : 2;
        double[] y = new double[outputs * positions];
        for (int o = 0; o < outputs; o++)
        {
            for (int p = 0; p < positions; p++)
            {
                double sum = bias?[o] ?? 0;
                for (int i = 0; i < inPerGroup; i++)
                {
                    int input = (o / outPerGroup * inPerGroup) + i;
                    sum += op == "Conv"
                        ? ((double)x[2 * input] * w[((o * inPerGroup) + i) * 2]) + ((double)x[(2 * input) + 1] * w[(((o * inPerGroup) + i) * 2) + 1])
                        : (double)x[2 * input] * w[(((input * outPerGroup) + (o % outPerGroup)) * 2) + p];
                }

                y[(o * positions) + p] = sum;
            }
        }

        return y;
    }

    private static double[] Normalize(double[] values, Model model, int channels)
    {
        float[] Read(string name) => Pipeline.Values(model.Initializer(name));
        (float[] gamma, float[] beta, float[] mean, float[] variance) = (Read("gamma"), Read("beta"), Read("mean"), Read("var"));
        int positions = values.Length / channels;
        return [.. values.Select((v, i) => ((v - mean[i / positions]) / Math.Sqrt(variance[i / positions] + (double)Epsilon) * gamma[i / positions]) + beta[i / positions])];
    }
}
