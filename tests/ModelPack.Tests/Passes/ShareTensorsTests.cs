using ModelPack.Compiler;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class ShareTensorsTests
{
    [Fact]
    public void Run_identical_initializers_become_one_for_all_readers()
    {
        Graph branch = Ir.Graph("", "r", [Ir.Op("Add", "x,c", "r")]);
        Model result = Share(Ir.Model(Ir.Graph("x,cond", "y,z",
            [Ir.Op("Sum", "x,a,b,other,shape", "y"), Ir.Op("If", "cond", "z", Ir.Sub("then_branch", branch), Ir.Sub("else_branch", branch))],
            Ir.RandomOf(1, "a", 8), Ir.RandomOf(2, "other", 8), Ir.RandomOf(1, "b", 8), Ir.RandomOf(1, "c", 8), Ir.RandomOf(1, "shape", 4, 2))));

        Assert.Equal(["a", "other", "shape"], result.Graph.Initializers.Select(t => t.Name));
        Assert.Equal("Sum(x,a,a,other,shape)->y", result.Graph.Text().Split(';')[0]);
        Assert.All(result.Graph.Nodes[1].Subgraphs(), g => Assert.Equal("Add(x,a)->r", g.Text()));
    }

    [Fact]
    public void Run_defaults_of_inputs_and_outputs_keep_their_own()
    {
        Model model = Ir.Model(Ir.Graph("x,a", "y,b", [Ir.Op("Sum", "x,a,b,c", "y")], Ir.RandomOf(1, "a", 8), Ir.RandomOf(1, "b", 8), Ir.RandomOf(1, "c", 8)));

        Assert.Same(model, Share(model));
    }

    [Fact]
    public void Run_checkpoint_keeps_names_and_shares_the_encoding()
    {
        Model result = Share(Ir.Checkpoint(Ir.RandomOf(1, "a", 8), Ir.RandomOf(2, "b", 8), Ir.RandomOf(1, "c", 8)));

        Assert.Equal(["a", "b", "c"], result.Graph.Initializers.Select(t => t.Name));
        Assert.Same(result.Initializer("a").Encoding, result.Initializer("c").Encoding);
        Assert.NotSame(result.Initializer("a").Encoding, result.Initializer("b").Encoding);
    }

    [Fact]
    public void Run_reads_only_tensors_that_may_have_a_twin()
    {
        var unique = new Unreadable(64);
        Model model = Ir.Checkpoint(Tensor.Raw("a", DType.F32, new Shape(16), unique), Tensor.Raw("b", DType.F16, new Shape(32), unique), Tensor.Raw("c", DType.F32, new Shape(4, 4), unique));

        Assert.Same(model, Share(model));
    }

    [Fact]
    public void Run_same_values_but_another_type_are_not_shared()
    {
        byte[] bytes = new byte[16];
        Model model = Ir.Checkpoint(Tensor.Raw("a", DType.F32, new Shape(4), TensorData.FromBytes(bytes)), Tensor.Raw("b", DType.I32, new Shape(4), TensorData.FromBytes(bytes)));

        Assert.Same(model, Share(model));
    }

    [Fact]
    public void Run_reports_the_bytes_saved()
    {
        PassContext context = Pipeline.Context();
        Pipeline.Run(Ir.Checkpoint(Ir.RandomOf(1, "a", 256), Ir.RandomOf(1, "b", 256), Ir.RandomOf(1, "c", 256)), context, Pipeline.Make("share-tensors"));

        Assert.Equal(2048, context.Measurements.Single(m => m.Quantity == "shared_bytes").Value);
        Assert.Contains(context.Diagnostics, d => d.Tensor == "c" && d.Message.Contains("'a'", StringComparison.Ordinal));
    }

    private static Model Share(Model model) => Pipeline.Run(model, Pipeline.Make("share-tensors"));

    private sealed class Unreadable(long length) : TensorData(length)
    {
        protected override void ReadCore(long offsetBytes, Span<byte> destination) => throw new InvalidOperationException("read without need");
    }
}
