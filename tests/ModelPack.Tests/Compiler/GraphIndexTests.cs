using ModelPack.Compiler;
using Xunit;

namespace ModelPack.Tests.Compiler;

public sealed class GraphIndexTests
{
    private static readonly Graph Branch = Ir.Graph("", "r", [Ir.Op("MatMul", "x,w", "h"), Ir.Op("Identity", "h", "r")]);
    private static readonly Graph Hiding = Ir.Graph("", "r", [Ir.Op("Neg", "x", "w"), Ir.Op("Identity", "w", "r")]);

    private static readonly Graph Whole = Ir.Graph("x,cond,d", "y,w2", [Ir.Op("If", "cond", "z", Ir.Sub("then_branch", Branch), Ir.Sub("else_branch", Hiding)), Ir.Op("Add", "z,w", "y")],
        Ir.Random("w", 4, 4), Ir.Random("d", 2), Ir.Random("w2", 2));

    private readonly GraphIndex _index = new(Whole);

    [Fact]
    public void Uses_lists_direct_and_captured_readers_but_not_hidden_names()
    {
        IReadOnlyList<ValueUse> uses = _index.Uses("w");

        Assert.Equal([("MatMul", 1, 0, true), ("Add", 1, 1, false)], uses.Select(u => (u.Node.OpType, u.InputIndex, u.NodeIndex, u.IsCaptured(Whole))));
        Assert.Same(Branch, uses[0].Owner);
    }

    [Fact]
    public void Uses_lists_a_value_that_a_subgraph_gives_out_directly()
    {
        Graph direct = Ir.Graph("", "x", []);
        var index = new GraphIndex(Ir.Graph("x,c", "y", [Ir.Op("If", "c", "y", Ir.Sub("then_branch", direct))]));

        Assert.Equal(-1, Assert.Single(index.Uses("x")).InputIndex);
    }

    [Fact]
    public void Constant_is_an_initializer_that_is_no_input()
    {
        Assert.NotNull(_index.Constant("w"));
        Assert.Null(_index.Constant("d"));
        Assert.NotNull(_index.Initializer("d"));
        Assert.Null(_index.Constant("z"));
    }

    [Fact]
    public void Lookups_name_producers_inputs_and_outputs()
    {
        Assert.Equal(1, _index.ProducerIndex("y"));
        Assert.Equal("If", _index.Producer("z")?.OpType);
        Assert.Null(_index.Producer("h"));
        Assert.True(_index.IsInput("x"));
        Assert.True(_index.IsOutput("w2"));
        Assert.False(_index.IsUnused("w2"));
        Assert.True(_index.IsUnused("d"));
    }

    [Fact]
    public void Free_names_are_those_taken_from_outside() =>
        Assert.Equal(["x", "w"], GraphNames.Free(Branch));

    [Fact]
    public void TypeOf_initializer_comes_from_the_tensor() =>
        Assert.Equal(DType.F32, _index.TypeOf("w").DType);
}
