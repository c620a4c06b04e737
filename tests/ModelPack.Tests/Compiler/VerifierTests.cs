using ModelPack.Compiler;
using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Compiler;

public sealed class VerifierTests
{
    private static readonly Graph Good = Ir.Graph("x", "y", [Ir.Op("Relu", "x", "a"), Ir.Op("Add", "a,w", "y")], Ir.Random("w", 4));

    [Fact]
    public void Check_legal_graph_passes() => new Verifier().Check(Ir.Model(Good), Phase.Canonical);

    [Fact]
    public void Check_value_made_twice_is_MP2010() => Fails(ErrorCodes.DuplicateValue, Ir.Graph("x", "a", [Ir.Op("Relu", "x", "a"), Ir.Op("Neg", "x", "a")]), "Neg(a)", "'a'");

    [Fact]
    public void Check_node_output_called_like_an_initializer_is_MP2010() => Fails(ErrorCodes.DuplicateValue, Ir.Graph("x", "w", [Ir.Op("Relu", "x", "w")], Ir.Random("w", 4)), "'w'");

    [Fact]
    public void Check_node_reading_nothing_is_MP2011() => Fails(ErrorCodes.UnresolvedValue, Ir.Graph("x", "y", [Ir.Op("Relu", "ghost", "y")]), "Relu(y)", "'ghost'");

    [Fact]
    public void Check_output_made_by_nothing_is_MP2011() => Fails(ErrorCodes.UnresolvedValue, Ir.Graph("x", "ghost", []), "'ghost'");

    [Fact]
    public void Check_wrong_order_is_MP2012_from_canonical_on()
    {
        Graph graph = Ir.Graph("x", "y", [Ir.Op("Relu", "a", "y"), Ir.Op("Neg", "x", "a")]);

        Fails(ErrorCodes.GraphNotOrdered, graph, "Relu(y)", "'a'");
        new Verifier().Check(Ir.Model(graph), Phase.Imported);
    }

    [Fact]
    public void Check_repeated_initializer_is_MP2013() => Fails(ErrorCodes.DuplicateInitializer, Ir.Graph("x", "x", [], Ir.Random("w", 4), Ir.Random("w", 4)), "'w'");

    [Fact]
    public void Check_encoding_of_another_shape_is_MP2014() => Fails(ErrorCodes.EncodingMismatch, Ir.Graph("x", "x", [], Ir.Random("w", 4) with { Shape = new Shape(2, 2) }), "'w'", "[2,2]");

    [Fact]
    public void Check_too_few_bytes_is_MP2014() => Fails(ErrorCodes.EncodingMismatch, Ir.Graph("x", "x", [], Tensor.Raw("w", DType.F32, new Shape(4), TensorData.FromBytes(new byte[15]))), "16 bytes", "15");

    [Fact]
    public void Check_constant_node_after_canonicalize_is_MP2015() => Fails(ErrorCodes.PhaseRuleBroken, Ir.Graph("x", "x", [Ir.Constant("c", Ir.Random("", 4))]), "Constant(c)");

    [Fact]
    public void Check_input_without_a_name_is_MP2016() =>
        Fails(ErrorCodes.EmptyValueName, new Graph { Inputs = [new ValueInfo("", ModelPack.Compiler.ValueType.Unknown)] }, "input");

    [Fact]
    public void Check_initializer_without_a_name_is_MP2016_for_graphs_only()
    {
        Fails(ErrorCodes.EmptyValueName, Ir.Graph("x", "x", [], Ir.Random("", 4)), "initializer");
        new Verifier().Check(Ir.Checkpoint(Ir.Random("", 4)), Phase.Canonical);
    }

    [Fact]
    public void Check_subgraphs_see_outer_values_and_are_checked_themselves()
    {
        Node If(Graph branch) => Ir.Op("If", "x", "y", Ir.Sub("then_branch", branch));
        Graph Around(Graph branch) => Ir.Graph("x", "y", [Ir.Op("Relu", "x", "a"), If(branch)]);

        new Verifier().Check(Ir.Model(Around(Ir.Graph("", "r", [Ir.Op("Neg", "a", "r")]))), Phase.Canonical);
        Fails(ErrorCodes.UnresolvedValue, Around(Ir.Graph("", "r", [Ir.Op("Neg", "ghost", "r")])), "Neg(r)", "'ghost'");
        Fails(ErrorCodes.DuplicateValue, Around(Ir.Graph("", "r", [Ir.Op("Neg", "a", "r"), Ir.Op("Abs", "a", "r")])), "Abs(r)");
    }

    [Fact]
    public void Check_function_bodies_are_checked()
    {
        var function = new Function { Name = "f", Inputs = ["i"], Outputs = ["o"], Nodes = [Ir.Op("Relu", "elsewhere", "o")] };
        Model model = Ir.Model(Good) with { Functions = [function] };

        ModelPackException e = Assert.Throws<ModelPackException>(() => new Verifier().Check(model, Phase.Imported));

        Assert.Equal(ErrorCodes.UnresolvedValue, e.Code);
        Assert.Contains("function 'f'", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Check_pending_encoding_is_bound_and_its_source_checked()
    {
        var verifier = new Verifier(NumberFormats.Bind, s => ModelPack.Structures.Structures.Get(s.Structure.Id).Validate(s));
        Tensor With(WeightEncoding encoding) => Ir.Random("w", 4, 64) with { Encoding = encoding };
        WeightEncoding source = Ir.Random("", 4, 64).Encoding;
        void Check(WeightEncoding encoding) => verifier.Check(Ir.Model(Ir.Graph("x", "x", [], With(encoding))), Phase.Compressed);
        void Bad(WeightEncoding encoding) => Assert.Equal(ErrorCodes.EncodingMismatch, Assert.Throws<ModelPackException>(() => Check(encoding)).Code);

        Check(DenseEncoding.Pending(UnitSpec.Parse("int4(block=32)"), source));
        Bad(DenseEncoding.Pending(UnitSpec.Parse("int4(blok=32)"), source));
        Bad(DenseEncoding.Pending(UnitSpec.Parse("int4"), source) with { Streams = [new EncodedStream("codes", TensorData.Empty)] });
        Bad(new DenseEncoding(UnitSpec.Parse("int4"), new Shape(4, 64), [new EncodedStream("codes", TensorData.Empty)]));
        Bad(new StructuredEncoding(UnitSpec.Parse("permuted(perm=1x0)"), new Shape(4, 64), [source]));
        Bad(new StructuredEncoding(UnitSpec.Parse("reshaped"), new Shape(4, 64), [Ir.Random("", 4, 63).Encoding]));
    }

    private static void Fails(ErrorCode code, Graph graph, params string[] mentions)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => new Verifier().Check(Ir.Model(graph), Phase.Canonical));
        Assert.Equal(code, e.Code);
        foreach (string mention in mentions)
        {
            Assert.Contains(mention, e.Message, StringComparison.Ordinal);
        }
    }
}
