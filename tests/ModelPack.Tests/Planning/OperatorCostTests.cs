using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Compiler.Shapes;
using Xunit;
using static ModelPack.Tests.Compiler.Ir;
using ValueType = ModelPack.Compiler.ValueType;

namespace ModelPack.Tests.Planning;

/// <summary>What operators without packed weights are predicted to cost.</summary>
public sealed class OperatorCostTests
{
    private static readonly HardwareProfile Machine = new()
    {
        Name = "test",
        Source = "a test",
        Kind = "cpu",
        Cores = 4,
        Memory = [new MemoryLevel("L2", 1_000_000, 100, 400), new MemoryLevel("memory", 0, 10, 20)],
        Gflops = new Dictionary<string, double> { ["f32"] = 400 },
        LaunchMicroseconds = 2,
        Kernels =
        [
            new KernelConstant("ort:MatMul", 0, 4, new ThreadTimes(0.04, 0.01), new ThreadTimes(0.4, 0.2), new ThreadTimes(0.02, 0.005)),
            new KernelConstant("modelpack:PackedMatMul(int8,int8)", 32, 1.1, new ThreadTimes(0.04, 0.01), new ThreadTimes(0.4, 0.2), new ThreadTimes(0.008, 0.002)),
        ],
    };

    [Theory]
    [InlineData(1, 0.02e-9)]
    [InlineData(4, 0.005e-9)]
    public void Convolution_inOneGroup_costsTheMeasuredProductAndItsBytes(int threads, double perMultiplication)
    {
        NodeCost cost = Of([1, 64, 28, 28], Op("Conv", "x,w", "y", Ints("pads", 1, 1, 1, 1)), threads, Random("w", 128, 64, 3, 3));

        Assert.Equal(2e-6 + (128.0 * 28 * 28 * 64 * 9 * perMultiplication) + (cost.Bytes / 40e9), cost.Seconds, 1e-12);
        Assert.Equal(("compute", 2.0 * 128 * 28 * 28 * 64 * 9, true), (cost.Bound, cost.Flops, cost.Measured));
        Assert.Equal(4L * ((64 * 28 * 28) + (128 * 64 * 9) + (128 * 28 * 28)), cost.Bytes);
    }

    [Fact]
    public void Convolution_ofSingleChannels_costsMoreByMultiplication()
    {
        NodeCost deep = Of([1, 64, 28, 28], Op("Conv", "x,w", "y", Ints("pads", 2, 2, 2, 2), Int("group", 64)), 1, Random("w", 64, 1, 5, 5));

        Assert.Equal(2.0 * 64 * 28 * 28 * 25, deep.Flops);
        Assert.Equal(2e-6 + (deep.Flops / (100e9 * 0.4)), deep.Seconds, 1e-12);
        Assert.False(deep.Measured);
    }

    [Fact]
    public void Convolutions_thatWereMeasured_costWhatTheyDid()
    {
        HardwareProfile machine = Machine with
        {
            Convolutions =
            [
                new ConvolutionConstant(ConvolutionConstant.Dense, new ThreadTimes(0.03, 0.01), new ThreadTimes(0.5, 0.2)), new ConvolutionConstant(ConvolutionConstant.Depthwise, new ThreadTimes(0.06, 0.02), new ThreadTimes(0.7, 0.3)),
                new ConvolutionConstant(ConvolutionConstant.Packed, new ThreadTimes(9, 9), new ThreadTimes(0.9, 0.4)),
            ],
        };
        NodeCost Cost(Node node, int threads, string kernel, Tensor weight) => Of(machine, [1, 64, 28, 28], node, threads, kernel, weight);
        NodeCost dense = Cost(Op("Conv", "x,w", "y", Ints("pads", 1, 1, 1, 1)), 4, "expand", Random("w", 128, 64, 3, 3));
        NodeCost deep = Cost(Op("Conv", "x,w", "y", Ints("pads", 2, 2, 2, 2), Int("group", 64)), 1, "expand", Random("w", 64, 1, 5, 5));
        NodeAttribute[] sizes = [Int("N", 128), .. new[] { "_h", "_w" }.SelectMany(s => new[] { Int("kernel" + s, 3), Int("stride" + s, 1), Int("dilation" + s, 1), Int("pad" + s, 1), Int("pad_end" + s, 1) })];
        NodeCost packed = Cost(Op("PackedConv", "x,w", "y", sizes) with { Domain = "ai.modelpack" }, 1, "modelpack:PackedConv(int8,int8)", Random("w", 4));

        Assert.Equal(2e-6 + (dense.Flops / 2 * 0.01e-9) + (dense.Bytes / 4 * 0.2e-9), dense.Seconds, 1e-12);
        Assert.Equal(2e-6 + (deep.Flops / 2 * 0.06e-9) + (deep.Bytes / 4 * 0.7e-9), deep.Seconds, 1e-12);
        Assert.Equal(2e-6 + (packed.Flops / 2 * 0.008e-9) + (packed.Bytes / 4 * 0.9e-9), packed.Seconds, 1e-12);
        Assert.True(dense.Measured && deep.Measured && packed.Measured);
    }

    [Theory]
    [InlineData("silu", 24)]
    [InlineData("relu", 1)]
    public void Activations_ofProducts_costTheirArithmetic(string activation, double operations)
    {
        Assert.Equal(1000 * operations / (100e9 * 0.8), OperatorCosts.ActivationSeconds(Machine, activation, 1000, 1), 1e-15);
        Assert.Equal(1000 * operations / (400e9 * 0.8), OperatorCosts.ActivationSeconds(Machine, activation, 1000, 0), 1e-15);
    }

    [Fact]
    public void PackedConvolution_costsItsProductAndThePlacing()
    {
        NodeAttribute[] sizes = [Int("N", 128), .. new[] { "_h", "_w" }.SelectMany(s => new[] { Int("kernel" + s, 3), Int("stride" + s, 1), Int("dilation" + s, 1), Int("pad" + s, 1), Int("pad_end" + s, 1) })];
        Node node = Op("PackedConv", "x,w", "y", sizes) with { Domain = "ai.modelpack" };
        NodeCost cost = Of([1, 64, 28, 28], node, 1, "modelpack:PackedConv(int8,int8)", Random("w", 4));

        Assert.Equal(2e-6 + (128.0 * 28 * 28 * 64 * 9 * 0.008e-9) + (cost.Bytes / (100e9 * 0.055)), cost.Seconds, 1e-9);
        Assert.True(cost.Measured);
    }

    [Fact]
    public void Elementwise_costsItsBytesAtTheLevelThatHoldsThem()
    {
        Assert.Equal(2e-6 + (800_000 / 90e9), Of([100_000], Op("Neg", "x", "y"), 1).Seconds, 1e-12);
        Assert.Equal(2e-6 + (8_000_000 / 9e9), Of([1_000_000], Op("Neg", "x", "y"), 4).Seconds, 1e-12);
        Assert.Equal("compute", Of([100_000], Op("Exp", "x", "y"), 1).Bound);
        Assert.Equal((2e-6, "launch"), (Of([1_000_000], Op("Identity", "x", "y"), 1).Seconds, Of([1_000_000], Op("Identity", "x", "y"), 1).Bound));
    }

    [Fact]
    public void Product_ofActivations_countsBothSides()
    {
        NodeCost cost = Of([8, 32, 64], Op("MatMul", "x,k", "y"), 1, Random("k", 8, 64, 48));

        Assert.Equal(2.0 * 8 * 32 * 64 * 48, cost.Flops);
    }

    [Fact]
    public void Node_ofUnknownSize_isNotPredicted() =>
        Assert.Null(OperatorCosts.Of(Machine, Op("Transpose", "x", "y", Ints("perm", 0, 7)), Shapes([2, 3], [Op("Transpose", "x", "y", Ints("perm", 0, 7))], []), 1));

    [Fact]
    public void ConstantsAndActivations_behindConvolutions_costNothing()
    {
        Node[] nodes =
        [
            Op("Conv", "x,w", "a") with { Name = "conv" }, Op("Mul", "a,s", "b") with { Name = "scale" }, Op("Add", "t,b", "c") with { Name = "shift" }, Op("Relu", "c", "d") with { Name = "relu" },
            Op("Add", "d,x", "e") with { Name = "residual" }, Op("Relu", "e", "f") with { Name = "later" }, Op("Conv", "f,w", "g") with { Name = "second" }, Op("Relu", "g", "h") with { Name = "shared" }, Op("Add", "g,h", "y") with { Name = "both" },
        ];
        GraphShapes shapes = Shapes([1, 4, 5, 5], nodes, [Random("w", 4, 4, 1, 1), Random("s", 1), Random("t", 1)]);

        Assert.Equal(["relu", "scale", "shift"], OperatorCosts.JoinedNodes(shapes.Graph).Order());
    }

    private static NodeCost Of(long[] x, Node node, int threads, params Tensor[] constants) => Of(x, node, threads, "expand", constants);

    private static NodeCost Of(long[] x, Node node, int threads, string kernel, params Tensor[] constants) => Of(Machine, x, node, threads, kernel, constants);

    private static NodeCost Of(HardwareProfile machine, long[] x, Node node, int threads, string kernel, params Tensor[] constants) => OperatorCosts.Of(machine, node, Shapes(x, [node], constants), threads, kernel)!;

    private static GraphShapes Shapes(long[] x, Node[] nodes, Tensor[] constants) =>
        ShapeInference.Infer(
            Model(new Graph
            {
                Inputs = [new ValueInfo("x", new ValueType(DType.F32, [.. x.Select(d => new Dimension(d))]))],
                Outputs = [new ValueInfo("y", ValueType.Unknown)],
                Nodes = [.. nodes],
                Initializers = [.. constants],
            }),
            new Dictionary<string, long>());
}
