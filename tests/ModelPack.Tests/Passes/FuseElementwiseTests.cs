using ModelPack.Compiler;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class FuseElementwiseTests
{
    [Theory]
    [InlineData("Mul(x1,s)", 2, 0)]
    [InlineData("Mul(s,x1)", 2, 0)]
    [InlineData("Div(x1,s)", 0.5, 0)]
    [InlineData("Add(x1,s)", 1, 2)]
    [InlineData("Sub(x1,s)", 1, -2)]
    [InlineData("Sub(s,x1)", -1, 2)]
    public void Run_constant_after_conv_goes_into_weights_and_bias(string operation, double factor, double offset)
    {
        Tensor weight = Ir.RandomOf(1, "w", 3, 2, 1, 1);
        Tensor bias = Ir.RandomOf(2, "b", 3);
        string[] parts = operation.Split('(', ')');
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Conv", "x,w,b", "x1"), Ir.Op(parts[0], parts[1], "x2"), Ir.Op("Relu", "x2", "y")], weight, bias, Ir.F32("s", [1], 2)));

        Model fused = Pipeline.Run(model, Pipeline.Make("fuse-elementwise"));

        Assert.Equal("Conv(x,w,w_folded_bias)->x2; Relu(x2)->y", fused.Graph.Text());
        Assert.Equal(Pipeline.Values(weight).Select(v => (float)(v * factor)), Pipeline.Values(fused.Initializer("w")));
        Assert.Equal(Pipeline.Values(bias).Select(v => (float)((v * factor) + offset)), Pipeline.Values(fused.Initializer("w_folded_bias")));
    }

    [Fact]
    public void Run_chain_with_constants_per_channel_is_folded_in_order()
    {
        Model model = Ir.Model(Ir.Graph("x", "y",
            [Ir.Op("Conv", "x,w", "a"), Ir.Op("Mul", "a,m", "b"), Ir.Op("Add", "c0,b", "y")],
            Ir.F32("w", [2, 1, 1, 1], 1, 10), Ir.F32("m", [1, 2, 1, 1], 3, 5), Ir.F32("c0", [2, 1, 1], 7, 11)));

        Model fused = Pipeline.Run(model, Pipeline.Make("fuse-elementwise"));

        Assert.Equal("Conv(x,w,w_folded_bias)->y", fused.Graph.Text());
        Assert.Equal([3f, 50f], Pipeline.Values(fused.Initializer("w")));
        Assert.Equal([7f, 11f], Pipeline.Values(fused.Initializer("w_folded_bias")));
    }

    [Theory]
    [InlineData("Conv(x,w)->a; Mul(a,m)->y; Relu(a)->z")] // another reader
    [InlineData("Conv(x,w)->a; Mul(a,x)->y; Relu(x)->z")] // no constant
    [InlineData("Conv(x,w)->a; Div(m,a)->y; Relu(x)->z")] // the result is the divisor
    [InlineData("Conv(x,w)->a; Mul(a,wide)->y; Relu(x)->z")] // a constant per column, not per channel
    [InlineData("Conv(x,w)->a; Mul(a,w)->y; Relu(x)->z")] // the weight itself
    public void Run_where_it_is_not_certain_changes_nothing(string graph)
    {
        Node[] nodes = [.. graph.Split("; ").Select(n => n.Split('(', ')')).Select(p => Ir.Op(p[0], p[1], p[2][2..]))];
        Model model = Ir.Model(Ir.Graph("x", "y,z", nodes, Ir.Random("w", 2, 1, 1, 1), Ir.F32("m", [1], 3), Ir.F32("wide", [2], 1, 2)));

        Model canonical = Pipeline.Run(model);

        Assert.Same(canonical, Pipeline.Make("fuse-elementwise").Run(canonical, Pipeline.Context()));
    }

    [Theory]
    [InlineData(9, "Div", 6f, "HardSigmoid(x)->h_gate; Mul(x,h_gate)->h; Relu(h)->y")]
    [InlineData(13, "Div", 6f, "HardSigmoid(x)->h_gate; Mul(x,h_gate)->h; Relu(h)->y")]
    [InlineData(13, "Mul", 1f / 6, "HardSigmoid(x)->h_gate; Mul(x,h_gate)->h; Relu(h)->y")]
    [InlineData(13, "Div", 5f, null)]
    public void Run_hard_swish_becomes_two_operators(int opset, string last, float divisor, string? expected)
    {
        Node clip = opset < 11
            ? Ir.Op("Clip", "a", "b", new NodeAttribute("min", new AttributeValue.Float(0)), new NodeAttribute("max", new AttributeValue.Float(6)))
            : Ir.Op("Clip", "a,zero,six", "b");
        Model model = Ir.Model(
            Ir.Graph("x", "y", [Ir.Op("Add", "x,three", "a"), clip, Ir.Op("Mul", "x,b", "c"), Ir.Op(last, "c,d", "h"), Ir.Op("Relu", "h", "y")],
                Ir.F32("three", [], 3), Ir.F32("zero", [], 0), Ir.F32("six", [], 6), Ir.F32("d", [], divisor)),
            opset: opset);

        Model canonical = Pipeline.Run(model);
        Model fused = Pipeline.Make("fuse-elementwise").Run(canonical, Pipeline.Context());

        Assert.Equal(expected ?? canonical.Graph.Text(), fused.Graph.Text());
        if (expected is not null)
        {
            Assert.Equal((1f / 6, 0.5f), (fused.Graph.Nodes[0].Float("alpha", 0), fused.Graph.Nodes[0].Float("beta", 0)));
        }
    }

    [Fact]
    public void Run_product_with_one_disappears()
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Mul", "one,x", "a"), Ir.Op("Relu", "a", "y")], Ir.F32("one", [], 1)));

        Assert.Equal("Relu(x)->y", Pipeline.Run(model, Pipeline.Make("fuse-elementwise")).Graph.Text());
    }
}
