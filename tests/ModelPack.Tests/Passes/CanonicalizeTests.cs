using ModelPack.Compiler;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class CanonicalizeTests
{
    [Fact]
    public void Run_constant_nodes_of_every_kind_become_initializers()
    {
        Node With(string output, string attribute, AttributeValue value) => Ir.Op("Constant", "", output, new NodeAttribute(attribute, value));
        Graph graph = Run(Ir.Graph("x", "y",
        [
            Ir.Constant("t", Ir.F32("other", [2], 1, 2)),
            With("f", "value_float", new AttributeValue.Float(1.5f)),
            With("fs", "value_floats", new AttributeValue.Floats([1.5f, 2])),
            With("i", "value_int", new AttributeValue.Int(-3)),
            With("is", "value_ints", new AttributeValue.Ints([4, 5, 6])),
            With("s", "value_string", new AttributeValue.Text("ab")),
            With("ss", "value_strings", new AttributeValue.Texts([new("a"), new("")])),
            Ir.Op("Custom", "x,t,f,fs,i,is,s,ss", "y") with { Domain = "custom" },
        ]));

        Assert.Equal("Custom(x,t,f,fs,i,is,s,ss)->y", graph.Text());
        Assert.Equal(
            ["t f32[2] 0000803F00000040", "f f32[] 0000C03F", "fs f32[2] 0000C03F00000040", "i i64[] FDFFFFFFFFFFFFFF", "is i64[3] 040000000000000005000000000000000600000000000000", "s string[] 020000006162", "ss string[2] 010000006100000000"],
            graph.Initializers.Select(Show));
    }

    [Fact]
    public void Run_sparse_constant_stays_a_node()
    {
        var sparse = new SparseTensor(Ir.F32("c", [1], 1), Ir.I64("", [1], 0), new Shape(3));
        Graph graph = Run(Ir.Graph("x", "y", [Ir.Op("Constant", "", "c", new NodeAttribute("sparse_value", new AttributeValue.SparseValue(sparse))), Ir.Op("Add", "x,c", "y")]));

        Assert.Equal("Constant()->c; Add(x,c)->y", graph.Text());
    }

    [Fact]
    public void Run_constant_that_is_an_output_keeps_the_output_name()
    {
        Graph graph = Run(Ir.Graph("x", "c,y", [Ir.Constant("c", Ir.F32("", [1], 1)), Ir.Op("Add", "x,c", "y")]));

        Assert.Equal("Identity(c_value)->c; Add(x,c_value)->y", graph.Text());
        Assert.Equal("c_value", Assert.Single(graph.Initializers).Name);
    }

    [Theory]
    [InlineData("Identity", "")]
    [InlineData("Dropout", "")]
    public void Run_pass_through_nodes_go_in_chains(string op, string more)
    {
        Graph graph = Run(Ir.Graph("x", "y", [Ir.Op(op, "x" + more, "a"), Ir.Op(op, "a" + more, "b"), Ir.Op("Relu", "b", "c"), Ir.Op(op, "c" + more, "d"), Ir.Op(op, "d" + more, "y")]));

        Assert.Equal("Relu(x)->y", graph.Text());
    }

    [Fact]
    public void Run_identity_that_names_an_output_stays_where_it_must()
    {
        Assert.Equal("Identity(x)->y", Run(Ir.Graph("x", "y", [Ir.Op("Identity", "x", "y")])).Text());
        Assert.Equal("Identity(w)->y", Run(Ir.Graph("x", "y", [Ir.Op("Identity", "w", "y")], Ir.Random("w", 3))).Text());
        Assert.Equal("Relu(x)->p; Identity(p)->q", Run(Ir.Graph("x", "p,q", [Ir.Op("Relu", "x", "a"), Ir.Op("Identity", "a", "p"), Ir.Op("Identity", "a", "q")])).Text());
        Assert.Equal("Relu(x)->a; Identity(a)->y", Run(Ir.Graph("x", "a,y", [Ir.Op("Relu", "x", "a"), Ir.Op("Identity", "a", "y")])).Text());
    }

    [Fact]
    public void Run_dropout_stays_when_training_or_when_its_mask_is_used()
    {
        Tensor flag = Tensor.Raw("t", DType.Bool, Shape.Scalar, TensorData.FromBytes(new byte[] { 1 }));
        Tensor off = Tensor.Raw("t", DType.Bool, Shape.Scalar, TensorData.FromBytes(new byte[] { 0 }));
        Graph With(Tensor mode) => Run(Ir.Graph("x", "y", [Ir.Op("Dropout", "x,,t", "a"), Ir.Op("Relu", "a", "y")], mode));

        Assert.Equal("Dropout(x,,t)->a; Relu(a)->y", With(flag).Text());
        Assert.Equal("Relu(x)->y", With(off).Text());
        Assert.Equal("Dropout(x)->a,m; Relu(a)->y", Run(Ir.Graph("x", "y,m", [Ir.Op("Dropout", "x", "a,m"), Ir.Op("Relu", "a", "y")])).Text());
        Assert.Equal("Dropout(x,,m)->a; Relu(a)->y", Run(Ir.Graph("x,m", "y", [Ir.Op("Dropout", "x,,m", "a"), Ir.Op("Relu", "a", "y")])).Text());
    }

    [Fact]
    public void Run_no_op_casts_transposes_and_reshapes_go_and_others_stay()
    {
        Tensor shape = Ir.I64("s", [2], 0, -1);
        Graph graph = Run(Ir.Graph("x", "y",
        [
            Ir.Op("Cast", "x", "a", Ir.Int("to", 1)),
            Ir.Op("Transpose", "a", "b", Ir.Ints("perm", 0, 1)),
            Ir.Op("Reshape", "b,s", "c"),
            Ir.Op("Reshape", "c,s", "d"),
            Ir.Op("Transpose", "d", "e", Ir.Ints("perm", 1, 0)),
            Ir.Op("Transpose", "e", "f"),
            Ir.Op("Cast", "f", "g", Ir.Int("to", 10)),
            Ir.Op("Relu", "g", "y"),
        ], shape));

        Assert.Equal("Reshape(x,s)->c; Transpose(c)->e; Transpose(e)->f; Cast(f)->g; Relu(g)->y", graph.Text());
    }

    [Fact]
    public void Run_drops_what_no_output_needs_but_keeps_inputs_and_their_defaults()
    {
        Graph graph = Run(Ir.Graph("x,d", "y",
            [Ir.Op("Neg", "x", "dead1"), Ir.Op("Exp", "dead1", "dead2"), Ir.Op("Relu", "x", "y"), Ir.Op("Print", "x", "") with { Domain = "custom", Outputs = [] }, Ir.Op("Thing", "x", "unused") with { Domain = "custom" }],
            Ir.Random("d", 2), Ir.Random("w", 2)));

        Assert.Equal("Relu(x)->y; Print(x)->", graph.Text());
        Assert.Equal(["x", "d"], graph.Inputs.Select(v => v.Name));
        Assert.Equal("d", Assert.Single(graph.Initializers).Name);
    }

    [Fact]
    public void Run_lifts_large_constants_out_of_nested_subgraphs()
    {
        Graph innermost = Ir.Graph("", "r", [Ir.Constant("w", Ir.RandomOf(1, "", 16, 16)), Ir.Op("MatMul", "h,w", "r")]);
        Graph then = Ir.Graph("", "t", [Ir.Op("MatMul", "x,v", "h"), Ir.Op("If", "cond", "t", Ir.Sub("then_branch", innermost), Ir.Sub("else_branch", Ir.Graph("", "e", [Ir.Op("Neg", "h", "e")])))], Ir.RandomOf(2, "v", 16, 16), Ir.RandomOf(3, "small", 2));
        Graph other = Ir.Graph("", "o", [Ir.Constant("w", Ir.RandomOf(4, "", 16, 16)), Ir.Op("MatMul", "x,w", "g"), Ir.Op("Add", "g,small", "o")], Ir.RandomOf(3, "small", 2));
        Model before = Ir.Model(Ir.Graph("x,cond", "y", [Ir.Op("If", "cond", "y", Ir.Sub("then_branch", then), Ir.Sub("else_branch", other))]));
        Graph graph = Run(before);

        Graph[] branches = [.. graph.Nodes[0].Subgraphs()];
        Assert.Equal(["v", "w_1", "w_2"], graph.Initializers.Select(t => t.Name).Order(StringComparer.Ordinal));
        string lifted = branches[0].Nodes[1].Subgraphs().First().Nodes[0].Inputs[1];
        Assert.Equal(Show(Ir.RandomOf(1, lifted, 16, 16)), Show(graph.Initializers.Single(t => t.Name == lifted)));
        string second = branches[1].Nodes[0].Inputs[1];
        Assert.Equal(Show(Ir.RandomOf(4, second, 16, 16)), Show(graph.Initializers.Single(t => t.Name == second)));
        Assert.NotEqual(lifted, second);
        Assert.Equal("small", Assert.Single(branches[1].Initializers).Name);
        Assert.Empty(branches[0].Initializers);
    }

    [Theory]
    [InlineData("""{"lift":false}""", 0)]
    [InlineData("""{"lift_min_bytes":1025}""", 0)]
    [InlineData("""{"lift_min_bytes":1024}""", 1)]
    public void Run_lifts_only_what_options_allow(string options, int lifted)
    {
        Graph branch = Ir.Graph("", "r", [Ir.Op("MatMul", "x,w", "r")], Ir.Random("w", 16, 16));
        Model model = Ir.Model(Ir.Graph("x,cond", "y", [Ir.Op("If", "cond", "y", Ir.Sub("then_branch", branch))]));

        Assert.Equal(lifted, Pipeline.Make("canonicalize", options).Run(model, Ir.Context()).Graph.Initializers.Length);
    }

    [Fact]
    public void Run_leaves_subgraph_outputs_inputs_and_foreign_operators_alone()
    {
        Graph gives = Ir.Graph("", "w", [Ir.Constant("w", Ir.Random("", 16, 16))]);
        Graph gives2 = Ir.Graph("", "v", [], Ir.Random("v", 16, 16));
        Graph body = Ir.Graph("", "r", [Ir.Op("MatMul", "x,u", "r")], Ir.Random("u", 16, 16));
        Model model = Ir.Model(Ir.Graph("x,cond", "y,z", [Ir.Op("If", "cond", "y", Ir.Sub("then_branch", gives), Ir.Sub("else_branch", gives2)), Ir.Op("Search", "x", "z", Ir.Sub("decoder", body)) with { Domain = "com.example" }]));

        Assert.Equal(model.Graph.Nodes, Run(model).Nodes);
    }

    [Fact]
    public void Run_loop_body_is_simplified_and_its_outputs_keep_their_makers()
    {
        Graph body = Ir.Graph("i,c,s", "c2,s2", [Ir.Op("Identity", "c", "c2"), Ir.Op("Identity", "s", "a"), Ir.Op("Add", "a,x", "b"), Ir.Op("Identity", "b", "s2"), Ir.Op("Neg", "x", "dead")]);
        Graph graph = Run(Ir.Graph("x,n,c0", "y", [Ir.Op("Loop", "n,c0,x", "y", Ir.Sub("body", body))]));

        Assert.Equal("Identity(c)->c2; Add(s,x)->s2", graph.Nodes[0].Subgraphs().Single().Text());
    }

    [Fact]
    public void Run_old_ir_version_makes_initializer_inputs_constants()
    {
        Model old = Ir.Model(Ir.Graph("x,w", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 4, 4)), irVersion: 3, opset: 8);
        Model result = new PassManager([Pass()]).Run(old, Ir.Context());

        Assert.Equal("x", Assert.Single(result.Graph.Inputs).Name);
        Assert.Equal(4, result.IrVersion);
        Model current = Ir.Model(old.Graph);
        Assert.Same(current, new PassManager([Pass()]).Run(current, Ir.Context()));
    }

    [Fact]
    public void Run_training_graphs_are_dropped_with_a_warning()
    {
        PassContext context = Ir.Context();
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Relu", "x", "y")])) with { Training = [new TrainingInfo(null, Ir.Graph("", "z", [Ir.Op("Neg", "x", "z")]))] };
        Model result = new PassManager([Pass()]).Run(model, context);

        Assert.Empty(result.Training);
        Assert.Equal(DiagnosticSeverity.Warning, Assert.Single(context.Diagnostics).Severity);
    }

    [Fact]
    public void Run_unordered_nodes_are_ordered() =>
        Assert.Equal("Neg(x)->a; Relu(a)->y", Run(Ir.Graph("x", "y", [Ir.Op("Relu", "a", "y"), Ir.Op("Neg", "x", "a")])).Text());

    [Fact]
    public void Run_checkpoint_is_unchanged()
    {
        Model model = Ir.Checkpoint(Ir.Random("w", 4));

        Assert.Same(model, Pass().Run(model, Ir.Context()));
    }

    private static string Show(Tensor tensor) =>
        tensor.TryGetRawData(out TensorData data) ? $"{tensor.Name} {tensor.DType.Name()}{tensor.Shape} {Convert.ToHexString(data.ToArray())}" : "not raw";

    private static IPass Pass() => Pipeline.Make("canonicalize");

    private static Graph Run(Graph graph) => Run(Ir.Model(graph));

    private static Graph Run(Model model)
    {
        Model once = new PassManager([Pass()]).Run(model, Ir.Context());
        Assert.Same(once, new PassManager([Pass()]).Run(once, Ir.Context()));
        return once.Graph;
    }
}
