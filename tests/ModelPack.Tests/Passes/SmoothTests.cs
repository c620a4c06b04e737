using ModelPack.Compiler;
using ModelPack.Passes;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

/// <summary>Where factors can be moved and where not, on graphs by hand; what they do to outputs is tested with the toolchain.</summary>
public sealed class SmoothTests
{
    [Theory]
    [InlineData("Relu(a)->b")]
    [InlineData("LeakyRelu(a)->b")]
    [InlineData("Mul(a,gain)->b")]
    [InlineData("Mul(gain,a)->b")]
    [InlineData("Mul(a,two)->b")]
    [InlineData("Add(a,gain)->b")]
    [InlineData("Sub(gain,a)->b")]
    [InlineData("LayerNormalization(a,gain,shift)->b")]
    [InlineData("Sigmoid(a)->g; Mul(other,g)->b")]
    [InlineData("Add(a,gain)->c; Relu(c)->b")]
    public void Equalize_throughWhatPassesAFactor_keepsTheProductsOfWeights(string between)
    {
        Model model = Linear(between);
        Model smoothed = Equalize.Run(model, Pipeline.Context());
        float[] before = Pipeline.Values(model.Initializer("down"));
        float[] after = Pipeline.Values(smoothed.Initializer("down"));
        bool norm = between.StartsWith("Layer", StringComparison.Ordinal) || between.StartsWith("Mul(a,gain", StringComparison.Ordinal) || between.StartsWith("Mul(gain", StringComparison.Ordinal);
        if (norm)
        {
            // Only a vector is divided: nothing to make equal.
            Assert.Same(model, smoothed);
            return;
        }

        Assert.NotEqual(before, after);
        Tensor made = smoothed.Initializer(between.Contains("other", StringComparison.Ordinal) ? "beside" : "up");
        float[] up = Pipeline.Values(model.Initializer(made.Name));
        float[] scaled = Pipeline.Values(made);
        for (int c = 0; c < 8; c++)
        {
            // Column c of the first weight was divided by what row c of the second was multiplied with, and the ranges are equal.
            double factor = after[c * 4] / before[c * 4];
            Assert.Equal(up[c], scaled[c] * factor, 1e-5);
            double first = Enumerable.Range(0, 6).Max(i => Math.Abs(scaled[(i * 8) + c]));
            double second = Enumerable.Range(0, 4).Max(i => Math.Abs(after[(c * 4) + i]));
            Assert.Equal(1, first / second, 2e-3);
            if (between.Contains("gain", StringComparison.Ordinal))
            {
                Assert.Equal(Pipeline.Values(model.Initializer("gain"))[c], Pipeline.Values(smoothed.Initializer("gain"))[c] * factor, 1e-5);
            }
        }
    }

    [Theory]
    [InlineData("Tanh(a)->b", "Tanh")]
    [InlineData("Clip(a,two)->b", "Clip")]
    [InlineData("HardSwish(a)->b", "HardSwish")]
    [InlineData("Relu(a)->b; Neg(b)->z", "reads 'b' as well")]
    [InlineData("Relu(a)->b; Neg(a)->z", "other readers")]
    [InlineData("Mul(a,a)->b", "other readers")]
    [InlineData("Add(a,two)->b", "one number per channel")]
    [InlineData("Add(a,x)->b", "other readers")]
    public void Smooth_whereOutputsWouldChange_saysWhyAndLeavesTheModel(string between, string reason)
    {
        Model model = Linear(between);
        PassContext context = Pipeline.Context();

        Assert.Same(model, Equalize.Run(model, context));
        Assert.Contains(context.Diagnostics, d => d.Tensor == "down" && d.Message.Contains(reason, StringComparison.Ordinal));
    }

    [Fact]
    public void Equalize_chainWithDepthwise_makesAllRangesEqual_andPassesBiases()
    {
        Model model = Image("Relu(c1)->r1");
        Model smoothed = Equalize.Run(model, Pipeline.Context());
        float[] w1 = Pipeline.Values(smoothed.Initializer("w1"));
        float[] depthwise = Pipeline.Values(smoothed.Initializer("dw"));
        float[] w3 = Pipeline.Values(smoothed.Initializer("w3"));
        float[] bias = Pipeline.Values(smoothed.Initializer("b1"));
        float[] old = Pipeline.Values(model.Initializer("w1"));
        for (int c = 0; c < 4; c++)
        {
            double Range(float[] values, int from, int count, int step) => Enumerable.Range(0, count).Max(i => Math.Abs(values[from + (i * step)]));
            double[] ranges = [Range(w1, c * 2, 2, 1), Range(depthwise, c * 3, 3, 1), Range(w3, c, 5, 4)];
            Assert.Equal(1, ranges.Max() / ranges.Min(), 0.02);
            Assert.Equal(Pipeline.Values(model.Initializer("b1"))[c] / old[c * 2], bias[c] / w1[c * 2], 1e-4);
        }
    }

    [Fact]
    public void Equalize_clippedConvolutions_stayAsTheyAre() =>
        Assert.Equal(Pipeline.Values(Image("").Initializer("w1")), Pipeline.Values(Pipeline.Run(Image("Clip(c1)->r1"), Equalize).Initializer("w1")));

    [Theory]
    [InlineData("zero")]
    [InlineData("nan")]
    [InlineData("infinity")]
    public void Equalize_channelsWithoutARange_keepFactorOne(string kind)
    {
        float[] up = Pipeline.Values(Ir.RandomOf(1, "", 6, 8));
        for (int i = 0; i < 6; i++)
        {
            up[(i * 8) + 3] = 0;
        }

        up[3] = kind == "zero" ? 0 : kind == "nan" ? float.NaN : float.PositiveInfinity;
        Model model = Linear("Relu(a)->b");
        model = model with { Graph = model.Graph with { Initializers = [.. model.Graph.Initializers.Select(t => t.Name == "up" ? Ir.F32("up", [6, 8], up) : t)] } };
        float[] before = Pipeline.Values(model.Initializer("down"));
        float[] after = Pipeline.Values(Pipeline.Run(model, Equalize).Initializer("down"));

        Assert.Equal(before.AsSpan(12, 4).ToArray(), after.AsSpan(12, 4).ToArray());
        Assert.NotEqual(before[0], after[0]);
    }

    [Theory]
    [InlineData(2.0, 0.5)]
    [InlineData(1e-30, 0.9375)]
    [InlineData(3.7e20, -1)]
    [InlineData(0.71, 1)]
    [InlineData(5, 0)]
    public void Power_isTheOneOfThePlatform(double x, double exponent) =>
        Assert.Equal(1, DeterministicPower.Of(x, exponent) / Math.Pow(x, exponent), 1e-11);

    [Fact]
    public void Scales_areCentred_boundedAndOneWhereNothingIsKnown()
    {
        double[] scales = SmoothScales.Of([4, 1, 0, double.NaN, 1e9, 1], 0.5, [1, 1, 1, 1, 1, 0], 0.5);

        Assert.Equal([1, 1, 1], [scales[2], scales[3], scales[5]]);
        Assert.Equal(2, scales[0] / scales[1], 1e-9);
        Assert.Equal(1, scales[4] * scales[1], 1e-9);
    }

    [Fact]
    public void Run_withoutData_isMP2210_andACheckpointIsMP2218()
    {
        ModelPackException missing = Assert.Throws<ModelPackException>(() => Pipeline.Run(Linear("Relu(a)->b"), Pipeline.Make("smooth", """{"method":"smoothquant"}""")));
        Assert.Equal(ErrorCodes.CalibrationMissing, missing.Code);
        Assert.Contains("--calibration", missing.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCodes.CalibrationNeedsGraph, Assert.Throws<ModelPackException>(() => Pipeline.Run(Ir.Checkpoint(Ir.Random("w", 4, 4)), Pipeline.Make("smooth"))).Code);
    }

    private static IPass Equalize => Pipeline.Make("smooth", """{"method":"equalize"}""");

    /// <summary>x [., 6] -> MatMul up -> a [., 8] -> what is between -> b -> MatMul down -> MatMul last -> y; beside makes another value of 8 channels.</summary>
    private static Model Linear(string between)
    {
        var nodes = new List<Node> { Ir.Op("MatMul", "x,up", "a"), Ir.Op("MatMul", "x,beside", "other") };
        foreach (string step in between.Split("; "))
        {
            string[] parts = step.Split('(', ')');
            nodes.Add(Ir.Op(parts[0], parts[1], parts[2][2..]));
        }

        nodes.AddRange([Ir.Op("MatMul", "b,down", "d"), Ir.Op("Tanh", "d", "t"), Ir.Op("MatMul", "t,last", "y")]);
        string outputs = "y" + (between.Contains("->z", StringComparison.Ordinal) ? ",z" : "") + (between.Contains("other", StringComparison.Ordinal) ? "" : ",other");
        return Ir.Model(Ir.Graph("x", outputs, [.. nodes],
            [
                Ir.RandomOf(1, "up", 6, 8), Ir.RandomOf(2, "beside", 6, 8), Ir.RandomOf(3, "down", 8, 4), Ir.RandomOf(4, "last", 4, 4), Ir.RandomOf(5, "gain", 8), Ir.RandomOf(6, "shift", 8), Ir.F32("two", [], 2),
            ]));
    }

    /// <summary>x [N, 2, 7] -> Conv w1 (with b1) -> Relu or another -> depthwise dw -> Relu -> Conv w3 -> y.</summary>
    private static Model Image(string between)
    {
        string[] parts = (between.Length == 0 ? "Relu(c1)->r1" : between).Split('(', ')');
        return Ir.Model(Ir.Graph("x", "y",
            [
                Ir.Op("Conv", "x,w1,b1", "c1"), Ir.Op(parts[0], parts[1], "r1"), Ir.Op("Conv", "r1,dw,b2", "c2", Ir.Int("group", 4)), Ir.Op("Relu", "c2", "r2"), Ir.Op("Conv", "r2,w3", "y"),
            ],
            [Ir.RandomOf(1, "w1", 4, 2, 1), Ir.RandomOf(2, "b1", 4), Ir.RandomOf(3, "dw", 4, 1, 3), Ir.RandomOf(4, "b2", 4), Ir.RandomOf(5, "w3", 5, 4, 1)]));
    }
}
