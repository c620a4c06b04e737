using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class FoldConstantsTests
{
    [Fact]
    public void Run_cast_and_transpose_of_a_weight_become_its_encoding()
    {
        Tensor weight = Bf16("w", 3, 2);
        Model result = Fold(Ir.Model(Ir.Graph("x", "y", [Ir.Op("Cast", "w", "f", Ir.Int("to", 1)), Ir.Op("Transpose", "f", "t", Ir.Ints("perm", 1, 0)), Ir.Op("MatMul", "x,t", "y")], weight)));

        Tensor folded = Assert.Single(result.Graph.Initializers);
        Assert.Equal("MatMul(x,w)->y", result.Graph.Text());
        Assert.Equal((DType.F32, new Shape(2, 3), "permuted(perm=1x0) > bf16"), (folded.DType, folded.Shape, folded.Encoding.Describe()));
        float[] v = Pipeline.Values(weight);
        Assert.Equal([v[0], v[2], v[4], v[1], v[3], v[5]], Pipeline.Values(folded));
    }

    [Fact]
    public void Run_two_transposes_cancel_out()
    {
        Model result = Fold(Ir.Model(Ir.Graph("x", "y", [Ir.Op("Transpose", "w", "a", Ir.Ints("perm", 2, 0, 1)), Ir.Op("Transpose", "a", "b", Ir.Ints("perm", 1, 2, 0)), Ir.Op("Add", "x,b", "y")], Ir.Random("w", 2, 3, 4))));

        Assert.Equal("f32", result.Initializer("w").Encoding.Describe());
        Assert.Equal(new Shape(2, 3, 4), result.Initializer("w").Shape);
    }

    [Fact]
    public void Run_several_readers_that_want_the_same_share_one()
    {
        Model result = Fold(Ir.Model(Ir.Graph("x", "y", [Ir.Op("Cast", "w", "a", Ir.Int("to", 1)), Ir.Op("Cast", "w", "b", Ir.Int("to", 1)), Ir.Op("Sum", "x,a,b", "y")], Bf16("w", 300, 300))));

        Assert.Equal("Sum(x,w,w)->y", result.Graph.Text());
        Assert.Single(result.Graph.Initializers);
    }

    [Fact]
    public void Run_large_weight_with_another_reader_is_not_stored_twice()
    {
        Graph graph = Ir.Graph("x,i", "y,e", [Ir.Op("Transpose", "w", "t"), Ir.Op("MatMul", "x,t", "y"), Ir.Op("Gather", "w,i", "e")], Ir.Random("w", 256, 256));
        Model model = Ir.Model(graph);

        Assert.Same(model, Fold(model));
        Model small = Fold(Ir.Model(graph with { Initializers = [Ir.Random("w", 16, 8)] }));
        Assert.Equal("MatMul(x,w_Transpose)->y; Gather(w,i)->e", small.Graph.Text());
        Assert.Equal("permuted(perm=1x0) > f32", small.Initializer("w_Transpose").Encoding.Describe());
    }

    [Theory]
    [InlineData("Cast", 7)] // to I64: not exact
    [InlineData("Cast", 10)] // to F16: rounds
    public void Run_casts_that_lose_something_stay(string op, int to)
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op(op, "w", "a", Ir.Int("to", to)), Ir.Op("Add", "x,a", "y")], Ir.Random("w", 8)));

        Assert.Same(model, Fold(model));
    }

    [Fact]
    public void Run_result_that_is_an_output_stays()
    {
        Model model = Ir.Model(Ir.Graph("x", "t", [Ir.Op("Transpose", "w", "t")], Ir.Random("w", 4, 4)));

        Assert.Same(model, Fold(model));
    }

    [Theory]
    [InlineData("Reshape", new long[] { 0, -1 }, new long[] { 2, 12 })]
    [InlineData("Reshape", new long[] { 4, 6 }, new long[] { 4, 6 })]
    [InlineData("Unsqueeze", new long[] { 0, -1 }, new long[] { 1, 2, 3, 4, 1 })]
    [InlineData("Flatten", null, new long[] { 2, 12 })]
    [InlineData("Squeeze", null, new long[] { 2, 3, 4 })]
    public void Run_reshaping_a_weight_reads_no_data(string op, long[]? argument, long[] expected)
    {
        Tensor weight = Tensor.Raw("w", DType.I64, new Shape(2, 3, 4), new Unreadable(24 * 8));
        Tensor[] tensors = argument is null ? [weight] : [weight, Ir.I64("s", [argument.Length], argument)];
        Model result = Fold(Ir.Model(Ir.Graph("x", "y", [Ir.Op(op, argument is null ? "w" : "w,s", "a"), Ir.Op("Add", "x,a", "y")], tensors)));

        Assert.Equal("Add(x,w)->y", result.Graph.Text());
        Assert.Equal(new Shape(expected), Assert.Single(result.Graph.Initializers).Shape);
    }

    [Fact]
    public void Run_reshape_to_an_impossible_shape_stays()
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Reshape", "w,s", "a"), Ir.Op("Add", "x,a", "y")], Ir.Random("w", 4), Ir.I64("s", [2], 3, -1)));

        Assert.Same(model, Fold(model));
    }

    [Theory]
    [InlineData(0, 99, new long[] { 5, 6, 7 })]
    [InlineData(1, 99, new long[] { 6, 7 })]
    [InlineData(-2, -1, new long[] { 6 })]
    [InlineData(3, 1, new long[0])]
    public void Run_shape_of_a_weight_is_a_constant(int start, int end, long[] expected)
    {
        Tensor weight = Tensor.Raw("w", DType.F32, new Shape(5, 6, 7), new Unreadable(5 * 6 * 7 * 4));
        Model result = Fold(Ir.Model(Ir.Graph("x", "y,z", [Ir.Op("Shape", "w", "s", Ir.Int("start", start), Ir.Int("end", end)), Ir.Op("Size", "w", "n"), Ir.Op("Sum", "x,s,n", "y"), Ir.Op("Add", "x,w", "z")], weight)));

        Assert.True(result.Initializer("s").TryGetRawData(out TensorData data));
        Assert.Equal(expected, MemoryMarshal.Cast<byte, long>(data.ToArray()).ToArray());
        Assert.True(result.Initializer("n").TryGetRawData(out data));
        Assert.Equal([210], MemoryMarshal.Cast<byte, long>(data.ToArray()).ToArray());
    }

    [Fact]
    public void Run_shape_of_an_input_is_a_constant_only_when_every_dimension_is_a_number()
    {
        Graph With(params Dimension[] dims) => Ir.Graph("x", "y", [Ir.Op("Shape", "x", "s"), Ir.Op("Add", "x,s", "y")]) with
        {
            Inputs = [new ValueInfo("x", new ModelPack.Compiler.ValueType(DType.F32, [.. dims]))],
        };

        Assert.Equal("Add(x,s)->y", Fold(Ir.Model(With(new Dimension(2), new Dimension(3)))).Graph.Text());
        Assert.Equal("Shape(x)->s; Add(x,s)->y", Fold(Ir.Model(With(new Dimension(2), new Dimension(null, "batch")))).Graph.Text());
        Assert.Equal("Shape(x)->s; Add(x,s)->y", Fold(Ir.Model(Ir.Graph("x", "y", [Ir.Op("Shape", "x", "s"), Ir.Op("Add", "x,s", "y")]))).Graph.Text());
    }

    [Fact]
    public void Run_chains_of_small_nodes_are_evaluated_in_waves()
    {
        var evaluator = new Adder();
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Add", "a,b", "c"), Ir.Op("Add", "a,a", "d"), Ir.Op("Add", "c,d", "e"), Ir.Op("Add", "x,e", "y")], Ir.F32("a", [2], 1, 2), Ir.F32("b", [2], 10, 20)));
        Model result = Fold(model, evaluator);

        Assert.Equal("Add(x,e)->y", result.Graph.Text());
        Assert.Equal([13, 26], Pipeline.Values(Assert.Single(result.Graph.Initializers)));
        Assert.Equal(["c,d", "e"], evaluator.Calls);
    }

    [Fact]
    public void Run_evaluator_that_refuses_a_batch_is_asked_node_by_node_and_never_again()
    {
        var evaluator = new Adder { Refuse = "d" };
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Add", "a,b", "c"), Ir.Op("Add", "a,a", "d"), Ir.Op("Sum", "x,c,d", "y")], Ir.F32("a", [2], 1, 2), Ir.F32("b", [2], 10, 20)));
        Model result = Fold(model, evaluator);

        Assert.Equal("Add(a,a)->d; Sum(x,c,d)->y", result.Graph.Text());
        Assert.Equal(["c,d", "c", "d"], evaluator.Calls);
    }

    [Fact]
    public void Run_without_an_evaluator_leaves_arithmetic()
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Add", "a,a", "c"), Ir.Op("Add", "x,c", "y")], Ir.F32("a", [2], 1, 2)));

        Assert.Same(model, Fold(model));
    }

    [Fact]
    public void Run_nothing_that_could_blow_up_is_evaluated()
    {
        var evaluator = new Adder();
        Tensor column = Ir.Random("c", 100_000, 1);
        Tensor row = Ir.Random("r", 1, 100_000);
        Model model = Ir.Model(Ir.Graph("x", "y",
        [
            Ir.Op("Add", "c,r", "a"),
            Ir.Op("ConstantOfShape", "huge", "b"),
            Ir.Op("Expand", "one,huge", "d"),
            Ir.Op("Range", "zero,many,step", "e"),
            Ir.Op("MatMul", "c,r", "f"),
            Ir.Op("Tile", "one,huge", "g"),
            Ir.Op("RandomNormalLike", "one", "h"),
            Ir.Op("DequantizeLinear", "one,one", "i"),
            Ir.Op("Add", "one,one", "j") with { Domain = "custom" },
            Ir.Op("Sum", "x,a,b,d,e,f,g,h,i,j", "y"),
        ],
            column, row, Ir.I64("huge", [3], 1L << 40, 1L << 40, 1L << 40), Ir.I64("one", [1], 1), Ir.I64("zero", [], 0), Ir.I64("many", [], long.MaxValue), Ir.I64("step", [], 1)));

        Assert.Same(model, Fold(model, evaluator));
        Assert.Empty(evaluator.Calls);
    }

    [Fact]
    public void Run_result_that_grows_beyond_the_limit_is_not_kept()
    {
        var evaluator = new Adder();
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Add", "c,r", "a"), Ir.Op("Add", "x,a", "y")], Ir.Random("c", 128, 1), Ir.Random("r", 1, 140)));

        Assert.Same(model, Fold(model, evaluator));
        Assert.Equal(["a"], evaluator.Calls);
    }

    private static Model Fold(Model model, IConstantEvaluator? evaluator = null) =>
        Pipeline.Run(model, Pipeline.Context(evaluator), Pipeline.Make("fold-constants"));

    private static Tensor Bf16(string name, params long[] shape)
    {
        float[] values = Pipeline.Values(Ir.Random("", shape));
        byte[] bytes = new byte[values.Length * 2];
        for (int i = 0; i < values.Length; i++)
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(i * 2), (ushort)(BitConverter.SingleToUInt32Bits(values[i]) >> 16));
        }

        return Tensor.Raw(name, DType.BF16, new Shape(shape), TensorData.FromBytes(bytes));
    }

    /// <summary>Adds two matrices or vectors with broadcasting of columns and rows.</summary>
    private sealed class Adder : IConstantEvaluator
    {
        public string? Refuse { get; init; }

        public List<string> Calls { get; } = [];

        public IReadOnlyList<Tensor>? Evaluate(Model model, IReadOnlyList<Node> nodes, IReadOnlyList<Tensor> constants, IReadOnlyList<string> outputs)
        {
            Calls.Add(string.Join(',', outputs));
            return Refuse is not null && outputs.Contains(Refuse) ? null : [.. nodes.Select(n => Add(n, constants))];
        }

        private static Tensor Add(Node node, IReadOnlyList<Tensor> constants)
        {
            Tensor a = constants.Single(t => t.Name == node.Inputs[0]);
            Tensor b = constants.Single(t => t.Name == node.Inputs[1]);
            float[] left = Pipeline.Values(a);
            float[] right = Pipeline.Values(b);
            if (a.Shape == b.Shape)
            {
                return Ir.F32(node.Outputs[0], [.. a.Shape.Dims], [.. left.Zip(right, (l, r) => l + r)]);
            }

            return Ir.F32(node.Outputs[0], [left.Length, right.Length], [.. left.SelectMany(l => right.Select(r => l + r))]);
        }
    }

    private sealed class Unreadable(long length) : TensorData(length)
    {
        protected override void ReadCore(long offsetBytes, Span<byte> destination) => throw new InvalidOperationException("read without need");
    }
}
