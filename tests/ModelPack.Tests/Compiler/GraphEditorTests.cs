using ModelPack.Compiler;
using Xunit;

namespace ModelPack.Tests.Compiler;

public sealed class GraphEditorTests
{
    private static readonly Graph Chain = Ir.Graph("x", "y", [Ir.Op("Relu", "x", "a"), Ir.Op("Neg", "a", "b"), Ir.Op("Abs", "b", "y")]);

    [Fact]
    public void Build_without_edits_returns_the_given_graph() => Assert.Same(Chain, new GraphEditor(Chain).Build());

    [Fact]
    public void RemoveNode_with_redirect_connects_its_readers()
    {
        var editor = new GraphEditor(Chain);
        editor.RemoveNode(1);
        editor.RedirectUses("b", "a");

        Assert.Equal("Relu(x)->a; Abs(a)->y", editor.Build().Text());
        Assert.Equal("Relu(x)->a; Neg(a)->b; Abs(b)->y", Chain.Text());
    }

    [Fact]
    public void ReplaceNode_twice_is_refused()
    {
        var editor = new GraphEditor(Chain);
        editor.RemoveNode(1);

        Assert.Throws<InvalidOperationException>(() => editor.RemoveNode(1));
    }

    [Fact]
    public void InsertAfter_with_exempt_node_splits_an_edge()
    {
        var editor = new GraphEditor(Chain);
        string name = editor.UniqueName("a");
        Node inserted = Ir.Op("Identity", "a", name);
        editor.InsertAfter(0, inserted);
        editor.RedirectUses("a", name, except: inserted);

        Assert.Equal("Relu(x)->a; Identity(a)->a_1; Neg(a_1)->b; Abs(b)->y", editor.Build().Text());
    }

    [Fact]
    public void Build_puts_nodes_behind_what_they_read_and_keeps_the_rest_in_order()
    {
        var editor = new GraphEditor(Chain);
        editor.InsertFirst(Ir.Op("Sqrt", "b", "c"), Ir.Op("Exp", "x", "d"));

        Assert.Equal("Exp(x)->d; Relu(x)->a; Neg(a)->b; Sqrt(b)->c; Abs(b)->y", editor.Build().Text());
    }

    [Fact]
    public void Build_of_a_cycle_fails_with_MP2012()
    {
        var editor = new GraphEditor(Chain);
        editor.RedirectUses("x", "b");

        ModelPackException e = Assert.Throws<ModelPackException>(editor.Build);

        Assert.Equal(ErrorCodes.GraphNotOrdered, e.Code);
        Assert.Contains("Relu(a)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RedirectUses_in_a_circle_is_refused()
    {
        var editor = new GraphEditor(Chain);
        editor.RedirectUses("a", "b");
        editor.RedirectUses("b", "a");

        Assert.Throws<InvalidOperationException>(editor.Build);
    }

    [Fact]
    public void RenameValue_renames_maker_readers_outputs_and_type_notes()
    {
        Graph graph = Chain with { ValueInfos = [new ValueInfo("b", ModelPack.Compiler.ValueType.Unknown)] };
        var editor = new GraphEditor(graph);
        editor.RenameValue("b", "beta");
        editor.RenameValue("y", "out");
        Graph built = editor.Build();

        Assert.Equal("Relu(x)->a; Neg(a)->beta; Abs(beta)->out", built.Text());
        Assert.Equal("out", built.Outputs[0].Name);
        Assert.Equal("beta", built.ValueInfos[0].Name);
    }

    [Fact]
    public void RedirectUses_reaches_captures_at_depth_and_does_not_let_them_be_captured()
    {
        // The inner graph defines a value called like the redirection's target.
        Graph inner = Ir.Graph("", "r", [Ir.Op("Neg", "v", "target"), Ir.Op("Add", "target,v", "r")]);
        Graph outer = Ir.Graph("", "s", [Ir.Op("If", "cond", "s", Ir.Sub("then_branch", inner))]);
        Graph graph = Ir.Graph("x,cond,target", "y", [Ir.Op("Relu", "x", "v"), Ir.Op("If", "cond", "y", Ir.Sub("then_branch", outer))]);
        var editor = new GraphEditor(graph);
        editor.RedirectUses("v", "target");
        Graph built = editor.Build();

        Graph rewritten = built.Nodes[1].Subgraphs().Single().Nodes[0].Subgraphs().Single();
        Assert.Equal("Neg(target)->target_1; Add(target_1,target)->r", rewritten.Text());
        new Verifier().Check(Ir.Model(built), Phase.Canonical);
    }

    [Fact]
    public void RedirectUses_leaves_a_hiding_definition_alone()
    {
        Graph inner = Ir.Graph("", "r", [Ir.Op("Neg", "x", "a"), Ir.Op("Abs", "a", "r")]);
        Graph graph = Ir.Graph("x,cond", "y", [Ir.Op("Relu", "x", "a"), Ir.Op("If", "cond", "y", Ir.Sub("then_branch", inner))]);
        var editor = new GraphEditor(graph);
        editor.RedirectUses("a", "x");

        Assert.Same(inner, editor.Build().Nodes[1].Subgraphs().Single());
    }

    [Fact]
    public void UniqueName_avoids_names_at_every_depth_and_is_deterministic()
    {
        Graph inner = Ir.Graph("", "w_1", [Ir.Op("Neg", "x", "w_1")]);
        Graph graph = Ir.Graph("x", "w", [Ir.Op("If", "x", "w", Ir.Sub("then_branch", inner))]);
        var editor = new GraphEditor(graph);

        Assert.Equal(["w_2", "w_3", "fresh"], new[] { editor.UniqueName("w"), editor.UniqueName("w"), editor.UniqueName("fresh") });
        Assert.Equal("w_2", new GraphEditor(graph).UniqueName("w"));
    }

    [Fact]
    public void Initializer_edits_keep_positions_and_drop_stale_type_notes()
    {
        Graph graph = Ir.Graph("x", "y", [Ir.Op("Sum", "x,p,q,r", "y")], Ir.F32("p", [1], 1), Ir.F32("q", [1], 2), Ir.F32("r", [1], 3))
            with
        { ValueInfos = [new ValueInfo("q", ModelPack.Compiler.ValueType.Unknown)] };
        var editor = new GraphEditor(graph);
        editor.RemoveInitializer("p");
        editor.ReplaceInitializer("q", Ir.I64("q", [1], 7));
        editor.AddInitializer(Ir.F32("s", [1], 4));
        editor.RedirectUses("p", "s");
        Graph built = editor.Build();

        Assert.Equal(["q", "r", "s"], built.Initializers.Select(t => t.Name));
        Assert.Equal(DType.I64, built.Initializers[0].DType);
        Assert.Empty(built.ValueInfos);
        Assert.Equal("Sum(x,s,q,r)->y", built.Text());
    }

    [Fact]
    public void RedirectUses_including_outputs_renames_the_output()
    {
        var editor = new GraphEditor(Chain);
        editor.RedirectUses("y", "b", includeOutputs: true);
        editor.RemoveNode(2);

        Assert.Equal("b", editor.Build().Outputs[0].Name);
    }
}
