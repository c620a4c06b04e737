using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Numbers;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class QuantizeTests
{
    private const string Int8 = "int8(block=32,scale=f16,search=none,symmetric=true)";
    private const string Int4 = "int4(block=32,scale=f16,search=none,symmetric=true)";

    [Theory]
    [InlineData("MatMul", "x,w", 0, "permuted(perm=1x0) > " + Int8, true)]
    [InlineData("MatMul", "w,x", 0, Int8, false)]
    [InlineData("Gemm", "x,w", 0, "permuted(perm=1x0) > " + Int8, true)]
    [InlineData("Gemm", "x,w", 1, Int8, false)]
    [InlineData("Gather", "w,x", 0, Int8, false)]
    public void Run_matrix_gets_blocks_along_its_reduction_axis(string op, string inputs, int transB, string expected, bool transposed)
    {
        Node node = Ir.Op(op, inputs, "y");
        Model result = Quantize(Ir.Graph("x", "y", [op == "Gemm" ? node with { Attributes = [Ir.Int("transB", transB)] } : node], Ir.Random("w", 64, 96)));

        Tensor weight = result.Initializer("w");
        Assert.Equal(expected, weight.Encoding.Describe());
        Assert.Equal((DType.F32, new Shape(64, 96)), (weight.DType, weight.Shape));
        Assert.Equal(transposed ? new Shape(96, 64) : new Shape(64, 96), Pending(weight).Shape);
        AssertClose(Ir.Random("w", 64, 96), weight, 1 / 127.0);
    }

    /// <summary>Every registered format that is no dtype, by its name alone.</summary>
    public static TheoryData<string> AllFormats() => [.. NumberFormats.All.Where(f => !DTypes.TryParse(f.Id, out _)).Select(f => f.Id)];

    [Theory]
    [MemberData(nameof(AllFormats))]
    public void Run_takes_every_number_format(string id)
    {
        Model result = Pipeline.Run(
            Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 256, 96))), Pipeline.Make("quantize", $$"""{"format":"{{id}}","allow_ternary":true}"""));

        DenseEncoding pending = Pending(result.Initializer("w"));
        Assert.Equal(id, pending.Format.Id);
        Assert.Equal(pending.Format, NumberFormats.Bind(pending.Format, pending.Shape).Spec);
        Assert.Equal(256 * 96, Pipeline.Values(result.Initializer("w")).Length);
    }

    [Fact]
    public void Run_format_text_may_give_arguments_and_options_the_rest()
    {
        string Encoding(string options) =>
            Pending(Pipeline.Run(Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 256, 96))), Pipeline.Make("quantize", options)).Initializer("w")).Format.ToString();

        Assert.Equal("nf4(block=128,nested=true)", Encoding("""{"format":"nf4(nested=true,block=128)"}"""));
        Assert.Equal("int3(block=48,scale=f32,search=none,symmetric=false,zeros=float)", Encoding("""{"format":"int3(block=48,zeros=float)","symmetric":false,"scale":"f32"}"""));
        Assert.Equal("int5(block=64,layout=planes,scale=f16,search=none,symmetric=true)", Encoding("""{"format":"int5(layout=planes)","block":64}"""));
    }

    [Theory]
    [InlineData("int9", 2004)]
    [InlineData("nf4(", 2004)]
    [InlineData("nf4(blok=64)", 1022)]
    public void Run_unknown_formats_and_arguments_are_errors(string format, int code)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => Pipeline.Run(
            Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 256, 96))), Pipeline.Make("quantize", $$"""{"format":"{{format}}"}""")));
        Assert.Equal(code, e.Code.Number);
    }

    [Theory]
    [InlineData("ternary")]
    [InlineData("ternary(packing=base3,scope=row)")]
    [InlineData("gguf-tq2_0")]
    [InlineData("gguf-tq1_0")]
    [InlineData("bitnet-i2_s")]
    [InlineData("bitnet-tl1")]
    [InlineData("bitnet-tl2")]
    public void Run_ternary_of_a_dense_model_is_MP2200_unless_allowed(string format)
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 256, 96)));
        ModelPackException e = Assert.Throws<ModelPackException>(() => Pipeline.Run(model, Pipeline.Make("quantize", $$"""{"format":"{{format}}"}""")));

        Assert.Equal(ErrorCodes.TernaryAfterTraining, e.Code);
        Assert.Contains("tensor 'w'", e.Message, StringComparison.Ordinal);
        Assert.NotEqual("f32", Pipeline.Run(model, Pipeline.Make("quantize", $$"""{"format":"{{format}}","allow_ternary":true}""")).Initializer("w").Encoding.Describe());
    }

    [Theory]
    [InlineData("ternary")]
    [InlineData("ternary(packing=base3)")]
    [InlineData("ternary(scope=row)")]
    [InlineData("gguf-tq2_0")]
    [InlineData("gguf-tq1_0")]
    [InlineData("bitnet-i2_s")]
    [InlineData("bitnet-tl1")]
    [InlineData("bitnet-tl2")]
    public void Run_ternary_of_a_ternary_model_loses_nothing(string format)
    {
        var random = new ModelPack.Testing.SplitMix(7);
        float[] values = [.. Enumerable.Range(0, 256 * 96).Select(_ => random.Below(3) switch { 0 => 0f, 1 => 0.0625f, _ => -0.0625f })];
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.F32("w", [256, 96], values)));
        Tensor weight = Pipeline.Run(model, Pipeline.Make("quantize", $$"""{"format":"{{format}}"}""")).Initializer("w");

        Assert.Equal(values, Pipeline.Values(weight));
        Assert.InRange(NumberFormats.Bind(Pending(weight).Format, Pending(weight).Shape).BitsPerValue, 1.58, 2.2);
    }

    [Theory]
    [InlineData("MatMul", "auto", "permuted(perm=1x0) > mxfp4(mode=floor)", new long[] { 64, 96 }, new long[] { 96, 64 })]
    [InlineData("MatMul", "first", "permuted(perm=1x0) > mxfp4(mode=floor)", new long[] { 64, 96 }, new long[] { 96, 64 })]
    [InlineData("MatMul", "last", "mxfp4(mode=floor)", new long[] { 64, 96 }, new long[] { 64, 96 })]
    [InlineData("Gather", "auto", "mxfp4(mode=floor)", new long[] { 64, 96 }, new long[] { 64, 96 })]
    [InlineData("Gather", "first", "permuted(perm=1x0) > mxfp4(mode=floor)", new long[] { 64, 96 }, new long[] { 96, 64 })]
    [InlineData("Conv", "auto", "reshaped > mxfp4(mode=floor)", new long[] { 64, 8, 5, 7 }, new long[] { 64, 280 })]
    [InlineData("Conv", "last", "mxfp4(mode=floor)", new long[] { 64, 8, 5, 7 }, new long[] { 64, 8, 5, 7 })]
    [InlineData("Conv", "first", "reshaped > permuted(perm=1x0) > mxfp4(mode=floor)", new long[] { 64, 8, 5, 7 }, new long[] { 280, 64 })]
    public void Run_axis_chooses_where_blocks_run(string op, string axis, string expected, long[] dims, long[] rows)
    {
        Tensor source = Ir.Random("w", dims);
        Tensor weight = Pipeline.Run(
            Ir.Model(Ir.Graph("x", "y", [Ir.Op(op, op == "Gather" ? "w,x" : "x,w", "y")], source)), Pipeline.Make("quantize", $$"""{"format":"mxfp4","axis":"{{axis}}"}""")).Initializer("w");

        Assert.Equal(expected, weight.Encoding.Describe());
        Assert.Equal((new Shape(dims), new Shape(rows)), (weight.Shape, Pending(weight).Shape));

        // At most half the power of two that the block of a value reaches, blocks being counted along the axis.
        float[] before = Pipeline.Values(source);
        float[] after = Pipeline.Values(weight);
        bool first = expected.Contains("permuted", StringComparison.Ordinal);
        int stride = first ? (int)(source.Shape.ElementCount / dims[0]) : 1;
        int length = first ? (int)dims[0] : (int)rows[^1];
        for (int i = 0; i < before.Length; i++)
        {
            int position = i / stride % length;
            int start = i - (position % 32 * stride);
            float largest = Enumerable.Range(0, Math.Min(32, length - (position / 32 * 32))).Max(k => MathF.Abs(before[start + (k * stride)]));
            Assert.InRange(MathF.Abs(before[i] - after[i]), 0, MathF.ScaleB(1, Math.Max(MathF.ILogB(largest), -140) - 1));
        }
    }

    [Fact]
    public void Run_transposed_source_is_not_transposed_twice()
    {
        Model result = Pipeline.Run(
            Ir.Model(Ir.Graph("x", "y", [Ir.Op("Transpose", "w", "t", Ir.Ints("perm", 1, 0)), Ir.Op("MatMul", "x,t", "y")], Ir.Random("w", 96, 64))),
            Pipeline.Make("fold-constants"), Pipeline.Make("quantize"));

        DenseEncoding pending = Pending(result.Initializer("w"));
        Assert.Equal("permuted(perm=1x0) > " + Int8, result.Initializer("w").Encoding.Describe());
        Assert.Equal(("f32", new Shape(96, 64)), (pending.Source!.Describe(), pending.Source.Shape));
    }

    [Fact]
    public void Run_convolution_is_quantised_as_a_matrix()
    {
        Model result = Quantize(Ir.Graph("x", "y", [Ir.Op("Conv", "x,w", "y")], Ir.Random("w", 16, 32, 3, 3)));

        Tensor weight = result.Initializer("w");
        Assert.Equal("reshaped > " + Int8, weight.Encoding.Describe());
        Assert.Equal(new Shape(16, 288), Pending(weight).Shape);
        AssertClose(Ir.Random("w", 16, 32, 3, 3), weight, 1 / 127.0);
    }

    [Fact]
    public void Run_depthwise_convolution_would_grow_and_is_kept()
    {
        (Model result, string reason) = Refused(Ir.Graph("x", "y", [Ir.Op("Conv", "x,w", "y", Ir.Int("group", 128))], Ir.Random("w", 128, 1, 3, 3)));

        Assert.Equal("f32", result.Initializer("w").Encoding.Describe());
        Assert.Contains("rows of 9 in int8(block=32,", reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_weights_read_inside_branches_are_quantised()
    {
        Graph branch = Ir.Graph("", "r", [Ir.Op("Conv", "x,w", "c"), Ir.Op("Relu", "c", "r")]);
        Model result = Quantize(Ir.Graph("x,cond", "y", [Ir.Op("If", "cond", "y", Ir.Sub("then_branch", branch), Ir.Sub("else_branch", branch))], Ir.Random("w", 16, 32, 3, 3)));

        Assert.Equal("reshaped > " + Int8, result.Initializer("w").Encoding.Describe());
    }

    [Fact]
    public void Run_tied_embedding_is_quantised_along_the_axis_both_readers_share()
    {
        Model result = Quantize(Ir.Graph("i", "y", [Ir.Op("Gather", "w,i", "e"), Ir.Op("Transpose", "w", "t", Ir.Ints("perm", 1, 0)), Ir.Op("MatMul", "e,t", "y")], Ir.Random("w", 96, 64)));

        Assert.Equal(Int8, result.Initializer("w").Encoding.Describe());
    }

    [Theory]
    [InlineData("disagree", "readers disagree")]
    [InlineData("batch", "batch of matrices")]
    [InlineData("other", "input 1 of Add")]
    [InlineData("output", "graph input or output")]
    [InlineData("default", "graph input or output")]
    [InlineData("tiny", "fewer than 1024")]
    [InlineData("vector", "no matrix")]
    [InlineData("gather1", "input 0 of Gather")]
    public void Run_unsuitable_weight_is_kept_with_its_reason(string why, string mention)
    {
        Graph graph = why switch
        {
            "disagree" => Ir.Graph("x", "y,z", [Ir.Op("MatMul", "x,w", "y"), Ir.Op("Gather", "w,x", "z")], Ir.Random("w", 64, 64)),
            "batch" => Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 4, 32, 32)),
            "other" => Ir.Graph("x", "y", [Ir.Op("Add", "x,w", "y")], Ir.Random("w", 64, 64)),
            "output" => Ir.Graph("x", "y,w", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 64, 64)),
            "default" => Ir.Graph("x,w", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 64, 64)),
            "tiny" => Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 31, 32)),
            "vector" => Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 4096)),
            _ => Ir.Graph("x", "y", [Ir.Op("Gather", "w,x", "y", Ir.Int("axis", 1))], Ir.Random("w", 64, 64)),
        };
        (Model result, string reason) = Refused(graph);

        Assert.Equal("f32", result.Initializer("w").Encoding.Describe());
        Assert.Contains(mention, reason, StringComparison.Ordinal);
        Assert.StartsWith("kept as f32: ", reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_int4_with_ends_in_int8_tells_ends_from_hidden_layers()
    {
        // Embedding, two hidden layers of which one gives its result out as well (a cache), and the head behind an addition.
        Model model = Ir.Model(Ir.Graph("i", "logits,cache", [
            Ir.Op("Gather", "emb,i", "e"),
            Ir.Op("MatMul", "e,w1", "h1"),
            Ir.Op("MatMul", "h1,w2", "cache"),
            Ir.Op("Relu", "cache", "h2"),
            Ir.Op("MatMul", "h2,head", "l"),
            Ir.Op("Add", "l,bias", "logits"),
        ], Ir.RandomOf(1, "emb", 64, 64), Ir.RandomOf(2, "w1", 64, 64), Ir.RandomOf(3, "w2", 64, 64), Ir.RandomOf(4, "head", 64, 64), Ir.RandomOf(5, "bias", 64)));
        string[] Encodings(string ends) => [.. Pipeline.Run(model, Pipeline.Make("quantize", $$"""{"format":"int4","ends":"{{ends}}"}""")).Graph.Initializers.Take(4).Select(t => t.Encoding.Describe() is var d && d.Contains("int4", StringComparison.Ordinal) ? "int4" : d.Contains("int8", StringComparison.Ordinal) ? "int8" : d)];

        Assert.Equal(["int8", "int4", "int4", "int8"], Encodings("int8"));
        Assert.Equal(["int4", "int4", "int4", "int4"], Encodings("same"));
        Assert.Equal(["f32", "int4", "int4", "f32"], Encodings("keep"));
    }

    [Fact]
    public void Run_first_convolution_on_the_input_is_an_end()
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Div", "x,c", "d"), Ir.Op("Conv", "d,w1", "a"), Ir.Op("Relu", "a", "b"), Ir.Op("Conv", "b,w2", "e"), Ir.Op("Relu", "e", "f"), Ir.Op("Conv", "f,w3", "g"), Ir.Op("Sigmoid", "g", "y")],
            Ir.F32("c", [1], 255), Ir.RandomOf(1, "w1", 16, 16, 3, 3), Ir.RandomOf(2, "w2", 16, 16, 3, 3), Ir.RandomOf(3, "w3", 16, 16, 3, 3)));
        Model result = Pipeline.Run(model, Pipeline.Make("quantize", """{"ends":"keep"}"""));

        Assert.Equal(["f32", "reshaped > " + Int8, "f32"], result.Graph.Initializers.Skip(1).Select(t => t.Encoding.Describe()));
    }

    [Fact]
    public void Run_rules_override_policies_and_skip()
    {
        Tensor[] weights = [Ir.RandomOf(1, "a", 64, 64), Ir.RandomOf(2, "b", 64, 64), Ir.RandomOf(3, "c", 64, 64), Ir.RandomOf(4, "odd", 64, 64)];
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,a", "h"), Ir.Op("MatMul", "h,b", "i"), Ir.Op("MatMul", "i,c", "j"), Ir.Op("Mul", "j,odd", "k"), Ir.Op("Add", "k,x", "y")], weights));
        Model result = Pipeline.Run(model, Pipeline.Make(
            "quantize",
            """{"format":"int8","ends":"keep"}""",
            new TensorRule("a", false, (JsonObject)JsonNode.Parse("""{"format":"int4","block":16,"scale":"f32"}""")!),
            new TensorRule("b", true, []),
            new TensorRule("odd", false, (JsonObject)JsonNode.Parse("""{"format":"int8"}""")!)));

        Assert.Equal(
            ["permuted(perm=1x0) > int4(block=16,scale=f32,search=none,symmetric=true)", "f32", "permuted(perm=1x0) > " + Int8, Int8],
            result.Graph.Initializers.Select(t => t.Encoding.Describe()));
    }

    [Fact]
    public void Run_include_exclude_ops_and_convolutions_choose_tensors()
    {
        Graph graph = Ir.Graph("x", "y", [Ir.Op("Conv", "x,conv", "h"), Ir.Op("MatMul", "h,mat", "i"), Ir.Op("MatMul", "i,mat2", "y")],
            Ir.RandomOf(1, "conv", 16, 16, 3, 3), Ir.RandomOf(2, "mat", 64, 64), Ir.RandomOf(3, "mat2", 64, 64));
        string Quantised(string options) => string.Join(',', Pipeline.Run(Ir.Model(graph), Pipeline.Make("quantize", options)).Graph.Initializers.Where(t => t.Encoding.Describe() != "f32").Select(t => t.Name));

        Assert.Equal("conv,mat,mat2", Quantised("{}"));
        Assert.Equal("mat", Quantised("""{"include":["mat"]}"""));
        Assert.Equal("conv,mat", Quantised("""{"exclude":["*2"]}"""));
        Assert.Equal("mat,mat2", Quantised("""{"ops":["MatMul"]}"""));
        Assert.Equal("mat,mat2", Quantised("""{"ops":["MatMul","Gather"],"convolutions":"int8"}"""));
        Assert.Equal("", Quantised("""{"min_elements":1000000}"""));
    }

    [Theory]
    [InlineData("model.embed_tokens.weight", new long[] { 128, 64 }, "int8")]
    [InlineData("lm_head.weight", new long[] { 128, 64 }, "int8")]
    [InlineData("output.weight", new long[] { 128, 64 }, "int8")]
    [InlineData("model.layers.0.self_attn.q_proj.weight", new long[] { 64, 64 }, "int4")]
    [InlineData("encoder.layer.0.output.dense.weight", new long[] { 64, 64 }, "int4")]
    [InlineData("features.0.conv.weight", new long[] { 16, 16, 3, 3 }, "reshaped > int8")]
    [InlineData("model.layers.0.input_layernorm.weight", new long[] { 4096 }, "f32")]
    [InlineData("odd.norm.weight", new long[] { 64, 64 }, "f32")]
    [InlineData("experts.weight", new long[] { 4, 64, 64 }, "f32")]
    public void Run_checkpoint_decides_by_name_and_shape(string name, long[] shape, string expected)
    {
        Model result = Pipeline.Run(Ir.Checkpoint(Ir.Random(name, shape)), Pipeline.Make("quantize", """{"format":"int4","ends":"int8","convolutions":"int8"}"""));

        Assert.StartsWith(expected, result.Initializer(name).Encoding.Describe(), StringComparison.Ordinal);
    }

    [Fact]
    public void Run_scale_auto_takes_f32_where_half_does_not_fit()
    {
        float[] values = Pipeline.Values(Ir.Random("", 64, 64));
        Tensor Scaled(float factor) => Ir.F32("w", [64, 64], [.. values.Select(v => v * factor)]);
        string Scale(Tensor w) => Pending(Quantize(Ir.Graph("x", "y", [Ir.Op("Gather", "w,x", "y")], w)).Initializer("w")).Format.Text("scale", "");

        Assert.Equal("f16", Scale(Scaled(1)));
        Assert.Equal("f32", Scale(Scaled(1e-6f)));
        Assert.Equal("f32", Scale(Scaled(1e8f)));
    }

    [Fact]
    public void Run_weight_with_NaN_is_kept_with_a_warning()
    {
        float[] values = Pipeline.Values(Ir.Random("", 64, 64));
        values[77] = float.NaN;
        PassContext context = Pipeline.Context();
        Model result = Pipeline.Run(Ir.Model(Ir.Graph("x", "y", [Ir.Op("Gather", "w,x", "y")], Ir.F32("w", [64, 64], values))), context, Pipeline.Make("quantize"));

        Assert.Equal("f32", result.Initializer("w").Encoding.Describe());
        Assert.Equal(DiagnosticSeverity.Warning, Assert.Single(context.Diagnostics).Severity);
    }

    [Fact]
    public void Run_tensors_that_share_their_data_share_the_quantised_encoding()
    {
        Model result = Pipeline.Run(Ir.Checkpoint(Ir.RandomOf(1, "a", 64, 64), Ir.RandomOf(2, "b", 64, 64), Ir.RandomOf(1, "c", 64, 64)), Pipeline.Make("share-tensors"), Pipeline.Make("quantize"));

        Assert.Same(result.Initializer("a").Encoding, result.Initializer("c").Encoding);
        Assert.NotSame(result.Initializer("a").Encoding, result.Initializer("b").Encoding);
    }

    [Fact]
    public void Run_without_a_chooser_takes_the_safe_scale()
    {
        Model result = new PassManager([Pipeline.Make("canonicalize"), Pipeline.Make("quantize")]).Run(Ir.Model(Ir.Graph("x", "y", [Ir.Op("Gather", "w,x", "y")], Ir.Random("w", 64, 64))), Ir.Context());

        Assert.Equal("int8(block=32,scale=f32,search=none,symmetric=true)", result.Initializer("w").Encoding.Describe());
    }

    [Fact]
    public void Run_is_the_same_on_any_number_of_threads_and_leaves_quantised_tensors_alone()
    {
        Tensor[] weights = [.. Enumerable.Range(0, 12).Select(i => Ir.RandomOf(i, $"w{i}", 64, 64))];
        Model model = Ir.Checkpoint(weights);
        string[] Run(int threads) => [.. Pipeline.Run(model, Pipeline.Context(threads: threads), Pipeline.Make("quantize")).Graph.Initializers.Select(t => t.Encoding.Describe())];
        Model once = Pipeline.Run(model, Pipeline.Make("quantize"));

        Assert.Equal(Run(1), Run(4));
        Assert.Same(once, Pipeline.Run(once, Pipeline.Make("quantize", """{"format":"int4"}""")));
    }

    private static DenseEncoding Pending(Tensor tensor) => Pending(tensor.Encoding);

    private static DenseEncoding Pending(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding structured => Pending(Assert.Single(structured.Components)),
        _ => Assert.IsType<DenseEncoding>(encoding),
    };

    private static Model Quantize(Graph graph) => Pipeline.Run(Ir.Model(graph), Pipeline.Make("quantize"));

    private static (Model Result, string Reason) Refused(Graph graph)
    {
        PassContext context = Pipeline.Context();
        Model result = Pipeline.Run(Ir.Model(graph), context, Pipeline.Make("quantize"));
        return (result, Assert.Single(context.Diagnostics, d => d.Tensor == "w").Message);
    }

    /// <summary>Values after quantising lie within half a step, for values in [-1, 1); scales rounded to f16 add a little.</summary>
    private static void AssertClose(Tensor expected, Tensor actual, double step)
    {
        float[] before = Pipeline.Values(expected);
        float[] after = Pipeline.Values(actual);
        Assert.NotEqual(before, after);
        for (int i = 0; i < before.Length; i++)
        {
            Assert.InRange(Math.Abs(before[i] - after[i]), 0, (step / 2) + 1e-3);
        }
    }
}
