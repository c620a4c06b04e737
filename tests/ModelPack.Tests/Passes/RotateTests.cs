using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Passes;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

/// <summary>Hadamard matrices, rotated constants and where a graph can be rotated; what it does to outputs is tested with the toolchain.</summary>
public sealed class RotateTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 1)]
    [InlineData(12, 12)]
    [InlineData(20, 20)]
    [InlineData(28, 28)]
    [InlineData(36, 36)]
    [InlineData(64, 64)]
    [InlineData(96, 96)]
    [InlineData(172, 4)]
    [InlineData(280, 280)]
    [InlineData(768, 768)]
    [InlineData(2304, 2304)]
    [InlineData(4096, 4096)]
    [InlineData(5120, 5120)]
    [InlineData(11008, 256)]
    [InlineData(14336, 14336)]
    [InlineData(18944, 18944)]
    public void Hadamard_ofTheOrderThatIsKnown_hasOrthogonalRows(int channels, int order)
    {
        HadamardMatrix matrix = HadamardMatrix.Dividing(channels, int.MaxValue);

        Assert.Equal(order, matrix.Order);
        for (int i = 0; i < Math.Min(order, 40); i++)
        {
            int row = i * 31 % order;
            for (int j = 0; j < Math.Min(order, 40); j++)
            {
                int other = j * 17 % order;
                long sum = 0;
                for (int c = 0; c < order; c++)
                {
                    Assert.True(matrix[row, c] is 1 or -1);
                    sum += matrix[row, c] * matrix[other, c];
                }

                Assert.Equal(row == other ? order : 0, sum);
            }
        }
    }

    [Theory]
    [InlineData(768, 128, 128)]
    [InlineData(768, 100, 64)]
    [InlineData(768, 768, 768)]
    [InlineData(12, 1, 1)]
    public void Hadamard_withALimit_isAPowerOfTwoBelowIt(int channels, int most, int order) => Assert.Equal(order, HadamardMatrix.Dividing(channels, most).Order);

    [Theory]
    [InlineData(32, 1)]
    [InlineData(32, 5)]
    [InlineData(96, 1)]
    [InlineData(96, 7)]
    public void Multiply_isTheProductWithTheEntries(int order, int width)
    {
        HadamardMatrix matrix = HadamardMatrix.Dividing(order, order);
        double[] values = [.. Enumerable.Range(0, order * width).Select(i => (double)((i * 37 % 101) - 50))];
        double[] expected = new double[values.Length];
        for (int c = 0; c < order; c++)
        {
            for (int v = 0; v < width; v++)
            {
                expected[(c * width) + v] = Enumerable.Range(0, order).Sum(i => values[(i * width) + v] * matrix[i, c]);
            }
        }

        matrix.Multiply(values, width, new double[matrix.Core * width]);

        Assert.Equal(expected, values);
    }

    [Theory]
    [InlineData("f32", false, true, false)]
    [InlineData("f32", false, false, true)]
    [InlineData("f32", false, true, true)]
    [InlineData("bf16", true, true, false)]
    [InlineData("bf16", true, false, true)]
    [InlineData("f16", true, true, true)]
    public void Rotate_constant_isTheProductWithTheMatrices_inAnyPieces(string stored, bool transposed, bool first, bool last)
    {
        const int rows = 96;
        const int columns = 24;
        Tensor tensor = Stored(stored, transposed, rows, columns);
        ChannelRotation? down = first ? ChannelRotation.Random(rows, HadamardMatrix.Dividing(rows, 48), new SplitMix64(1)) : null;
        ChannelRotation? along = last ? ChannelRotation.Random(columns, HadamardMatrix.Dividing(columns, columns), new SplitMix64(2)).After([.. Enumerable.Range(1, columns).Select(i => 1.0 / i)]) : null;
        float[] w = Pipeline.Values(tensor);
        float[] expected = new float[w.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                double sum = 0;
                for (int i = 0; i < rows; i++)
                {
                    for (int j = 0; j < columns; j++)
                    {
                        sum += Entry(down, i, r) * w[(i * columns) + j] * Entry(along, j, c);
                    }
                }

                expected[(r * columns) + c] = (float)sum;
            }
        }

        WeightEncoding rotated = RotatedTensor.Rotate(tensor.Encoding, down, along, Pipeline.Context());
        float[] actual = Pipeline.Values(rotated);
        for (int i = 0; i < actual.Length; i++)
        {
            Assert.Equal(expected[i], actual[i], 1e-5);
        }

        // The same bytes in pieces that begin and end anywhere.
        TensorData data = ((DenseEncoding)(rotated is StructuredEncoding s ? s.Components[0] : rotated)).Streams[0].Data;
        byte[] whole = data.ToArray();
        byte[] pieces = new byte[whole.Length];
        for (int at = 0, length = 1; at < pieces.Length; at += length, length = (length * 5 % 1021) + 1)
        {
            data.Read(at, pieces.AsSpan(at, Math.Min(length, pieces.Length - at)));
        }

        Assert.Equal(whole, pieces);
    }

    [Fact]
    public void Run_stream_takesGainsOut_andRotatesEveryWriterAndReader()
    {
        Model model = Stream("", tied: false);
        PassContext context = Pipeline.Context();
        Model rotated = Pipeline.Run(model, context, Pipeline.Make("rotate"));

        Assert.DoesNotContain(rotated.Graph.Nodes, n => n.Inputs.Contains("gain"));
        Assert.Equal(7, context.Measurements.Single(m => m.Quantity == "constants_rotated").Value);
        Assert.Empty(context.Diagnostics);

        // R^T (E^T ...) stays what it was: rows of the embedding times the weight that reads the stream directly.
        float[] before = Product(Pipeline.Values(model.Initializer("table")), Pipeline.Values(model.Initializer("head")), 10, 24, 5);
        float[] after = Product(Pipeline.Values(rotated.Initializer("table")), Pipeline.Values(rotated.Initializer("head")), 10, 24, 5);
        for (int i = 0; i < before.Length; i++)
        {
            Assert.Equal(before[i], after[i], 1e-5);
        }

        Assert.NotEqual(Pipeline.Values(model.Initializer("table")), Pipeline.Values(rotated.Initializer("table")));
    }

    [Fact]
    public void Run_sameSeed_isTheSame_andAnotherSeedIsNot()
    {
        float[] Table(ulong seed) => Pipeline.Values(new PassManager([Pipeline.Make("canonicalize"), Pipeline.Make("rotate")])
            .Run(Stream("", tied: false), new PassContext { Seed = seed, OpenValues = ModelPack.Pack.EncodingValues.Open }).Initializer("table"));

        Assert.Equal(Table(3), Table(3));
        Assert.NotEqual(Table(3), Table(4));
    }

    [Theory]
    [InlineData(48, int.MaxValue, 16)]
    [InlineData(64, int.MaxValue, 64)]
    [InlineData(64, 8, 8)]
    [InlineData(5, int.MaxValue, 1)]
    public void KeepingMean_isOrthogonal_andLeavesEqualNumbersAlone(int channels, int most, int order)
    {
        ChannelRotation rotation = ChannelRotation.KeepingMean(channels, most, new SplitMix64(3));
        Assert.Equal(order, rotation.Block.Order);
        double[] scratch = new double[1];
        double[][] rows = [.. Enumerable.Range(0, channels).Select(i => Enumerable.Range(0, channels).Select(j => i == j ? 1.0 : 0).ToArray())];
        foreach (double[] row in rows)
        {
            rotation.Apply(row, scratch);
        }

        double[] ones = [.. Enumerable.Repeat(1.0, channels)];
        rotation.Apply(ones, scratch);
        Assert.All(ones, v => Assert.Equal(1, v, 1e-12));
        for (int i = 0; i < channels; i++)
        {
            for (int j = 0; j < channels; j++)
            {
                Assert.Equal(i == j ? 1 : 0, rows[i].Zip(rows[j], (a, b) => a * b).Sum(), 1e-12);
            }
        }

        Assert.True(order < 16 || rows[0].Max(Math.Abs) < 0.95, "a channel stays where it is");
    }

    [Fact]
    public void Run_tableThatIsTheHeadToo_isStoredTwice()
    {
        PassContext context = Pipeline.Context();
        Model rotated = Pipeline.Run(Stream("", tied: true), context, Pipeline.Make("rotate"));

        Assert.Contains(context.Diagnostics, d => d.Tensor == "table" && d.Message.Contains("stored 2 times", StringComparison.Ordinal));
        Assert.DoesNotContain(rotated.Graph.Initializers, t => t.Name == "table");
        Assert.Equal(2, rotated.Graph.Initializers.Count(t => t.Name.StartsWith("table_rotated", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("Tanh(x2)->odd", "Tanh")]
    [InlineData("LayerNormalization(x2,gain)->odd", "'odd' is an output of the graph")]
    [InlineData("LayerNormalization(x2,gain,gain)->m; MatMul(m,square)->x3; Add(x2,x3)->x4; MatMul(x4,head)->odd", "reads what a norm has shifted and writes into the stream")]
    [InlineData("Mul(x2,gain)->m; Tanh(m)->odd", "has a factor for every channel")]
    [InlineData("Mul(x2,x1)->odd", "is not linear")]
    [InlineData("Mul(x2,x2)->q; Tanh(q)->odd", "is not linear")]
    [InlineData("Identity(x2)->odd", "'odd' is an output of the graph")]
    [InlineData("Add(x2,other)->m; MatMul(m,head)->odd", "comes from outside")]
    [InlineData("Add(x2,five)->odd", "along its last axis")]
    [InlineData("MatMul(x2,input16)->odd", "is not linear")]
    public void Run_whereOutputsWouldChange_saysWhyAndLeavesTheModel(string step, string reason)
    {
        Model model = Stream(step, tied: false);
        PassContext context = Pipeline.Context();

        Assert.Same(model, Pipeline.Make("rotate").Run(model, context));
        Diagnostic diagnostic = Assert.Single(context.Diagnostics, d => d.Severity == DiagnosticSeverity.Warning);
        Assert.Equal("table", diagnostic.Tensor);
        Assert.Contains(reason, diagnostic.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_weightThatIsExcludedOrNotF32_leavesTheStream()
    {
        PassContext context = Pipeline.Context();
        Model model = Stream("", tied: false);
        Assert.Same(model, Pipeline.Make("rotate", """{"exclude":["up"]}""").Run(model, context));
        Assert.Contains("option 'exclude'", Assert.Single(context.Diagnostics).Message, StringComparison.Ordinal);

        context = Pipeline.Context();
        model = model with { Graph = model.Graph with { Initializers = [.. model.Graph.Initializers.Select(t => t.Name == "up" ? t with { Encoding = DenseEncoding.Pending(new UnitSpec("int8"), t.Encoding) } : t)] } };
        Assert.Same(model, Pipeline.Make("rotate").Run(model, context));
        Assert.Contains("'up' is not stored as plain f32 numbers", Assert.Single(context.Diagnostics).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_checkpoint_isMP2218() =>
        Assert.Equal(ErrorCodes.CalibrationNeedsGraph, Assert.Throws<ModelPackException>(() => Pipeline.Run(Ir.Checkpoint(Ir.Random("w", 4, 4)), Pipeline.Make("rotate"))).Code);

    /// <summary>table [10, 24] -> + place -> x1 -> rms norm * gain -> up -> Tanh -> down (+ bias) -> x2 = x1 + . -> head -> y, and another step on the stream.</summary>
    private static Model Stream(string step, bool tied)
    {
        var nodes = new List<Node>
        {
            Ir.Op("Gather", "table,ids", "e"),
            Ir.Op("Add", "e,place", "x1"),
            Ir.Op("Mul", "x1,x1", "squares"),
            Ir.Op("ReduceMean", "squares", "mean", Ir.Ints("axes", -1)),
            Ir.Op("Add", "mean,epsilon", "shifted"),
            Ir.Op("Sqrt", "shifted", "rms"),
            Ir.Op("Div", "x1,rms", "n"),
            Ir.Op("Mul", "gain,n", "g"),
            Ir.Op("MatMul", "g,up", "u"),
            Ir.Op("Tanh", "u", "t"),
            Ir.Op("MatMul", "t,down", "d"),
            Ir.Op("Add", "bias,d", "b"),
            Ir.Op("Add", "x1,b", "x2"),
            Ir.Op("MatMul", "x2,scale", "s"),
            tied ? Ir.Op("Gemm", "x2,table", "y", Ir.Int("transB", 1)) : Ir.Op("MatMul", "x2,head", "y"),
        };
        if (tied)
        {
            // With a gain between, so that the two readers want different matrices.
            nodes[^1] = Ir.Op("Gemm", "h,table", "y", Ir.Int("transB", 1));
            nodes.Insert(nodes.Count - 1, Ir.Op("Mul", "x2,gain", "h"));
        }

        foreach (string part in step.Split("; ", StringSplitOptions.RemoveEmptyEntries))
        {
            string[] parts = part.Split('(', ')');
            nodes.Add(Ir.Op(parts[0], parts[1], parts[2][2..]));
        }

        return Ir.Model(Ir.Graph("ids,other,input16", "y,s" + (step.Length > 0 ? ",odd" : ""), [.. nodes],
            [
                Ir.RandomOf(1, "table", 10, 24), Ir.RandomOf(2, "place", 3, 24), Ir.RandomOf(3, "gain", 24), Ir.RandomOf(4, "up", 24, 8), Ir.RandomOf(5, "down", 8, 24), Ir.RandomOf(6, "bias", 24),
                Ir.RandomOf(7, "head", 24, 5), Ir.RandomOf(8, "scale", 24, 2), Ir.F32("epsilon", [], 1e-5f), Ir.RandomOf(9, "five", 24, 1), Ir.RandomOf(10, "square", 24, 24),
            ]));
    }

    private static Tensor Stored(string type, bool transposed, int rows, int columns)
    {
        Tensor plain = transposed ? Ir.RandomOf(5, "w", columns, rows) : Ir.RandomOf(5, "w", rows, columns);
        DType dtype = type switch { "bf16" => DType.BF16, "f16" => DType.F16, _ => DType.F32 };
        if (dtype != DType.F32)
        {
            ushort[] halves = [.. Pipeline.Values(plain).Select(v => dtype == DType.BF16 ? (ushort)(BitConverter.SingleToInt32Bits(v) >> 16) : BitConverter.HalfToUInt16Bits((Half)v))];
            plain = plain with { Encoding = DenseEncoding.Raw(dtype, plain.Shape, TensorData.FromBytes(MemoryMarshal.AsBytes(halves.AsSpan()).ToArray())) };
        }

        return transposed ? plain with { Shape = new Shape(rows, columns), Encoding = Structured.Transpose(plain.Encoding) } : plain;
    }

    private static double Entry(ChannelRotation? rotation, int row, int column) =>
        rotation is null ? (row == column ? 1 : 0)
        : row / rotation.Block.Order != column / rotation.Block.Order ? 0
        : rotation.Factors[row] * rotation.Block[row % rotation.Block.Order, column % rotation.Block.Order];

    private static float[] Product(float[] a, float[] b, int rows, int depth, int columns) =>
        [.. Enumerable.Range(0, rows * columns).Select(i => (float)Enumerable.Range(0, depth).Sum(k => (double)a[(i / columns * depth) + k] * b[(k * columns) + (i % columns)]))];
}
