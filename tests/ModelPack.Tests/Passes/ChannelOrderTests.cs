using ModelPack.Compiler;
using ModelPack.Passes;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

/// <summary>Which channels of a graph may change places, constants in another order, and the order that blocks gain most by. That outputs stay is tested with the toolchain.</summary>
public sealed class ChannelOrderTests
{
    [Theory]
    [InlineData("f32", false)]
    [InlineData("f32", true)]
    [InlineData("bf16", false)]
    [InlineData("f16", true)]
    public void Apply_movesRowsAndColumns_bitForBit_inAnyPieces(string stored, bool transposed)
    {
        const int rows = 7;
        const int columns = 5;
        DType dtype = Enum.Parse<DType>(stored, ignoreCase: true);
        byte[] bytes = [.. Enumerable.Range(0, (int)dtype.StorageBytes(rows * columns)).Select(i => (byte)((i * 29) + 1))];
        WeightEncoding raw = DenseEncoding.Raw(dtype, transposed ? new Shape(columns, rows) : new Shape(rows, columns), TensorData.FromBytes(bytes));
        var tensor = new Tensor { Name = "w", DType = DType.F32, Shape = new Shape(rows, columns), Encoding = transposed ? Structured.Transpose(raw) : raw };
        int[] down = [3, 0, 6, 1, 5, 2, 4];
        int[] along = [4, 2, 0, 1, 3];
        float[] before = Pipeline.Values(tensor);

        Tensor ordered = ChannelOrder.Apply(ChannelOrder.Apply(tensor, 0, down), 1, along);

        float[] after = Pipeline.Values(ordered);
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                Assert.Equal(BitConverter.SingleToInt32Bits(before[(down[r] * columns) + along[c]]), BitConverter.SingleToInt32Bits(after[(r * columns) + c]));
            }
        }

        TensorData data = ((DenseEncoding)(transposed ? Structured.Transpose(ordered.Encoding) : ordered.Encoding)).Streams[0].Data;
        byte[] whole = data.ToArray();
        byte[] part = new byte[11];
        for (int at = 0; at <= whole.Length - part.Length; at++)
        {
            data.Read(at, part);
            Assert.Equal(whole.AsSpan(at, part.Length).ToArray(), part);
        }
    }

    [Fact]
    public void Find_takesBothSidesOfAGate_andBiases()
    {
        ChannelSet set = Assert.Single(Sets(
            [
                Ir.Op("MatMul", "x,gate", "g"), Ir.Op("Add", "g,bias", "b"), Ir.Op("Sigmoid", "b", "s"), Ir.Op("Mul", "b,s", "a"), Ir.Op("MatMul", "x,up", "u"), Ir.Op("Mul", "a,u", "h"), Ir.Op("MatMul", "h,down", "y"),
            ],
            Ir.Random("gate", 8, 12),
            Ir.Random("bias", 12),
            Ir.Random("up", 8, 12),
            Ir.Random("down", 12, 8)));

        Assert.Equal(["bias 0", "down 0", "gate 1", "up 1"], set.Places.Select(p => $"{p.Tensor.Name} {p.Axis}").Order(StringComparer.Ordinal));
        Assert.Equal((12, 12, false), (set.Channels, set.ClassSize, set.IsStream));
    }

    /// <summary>What something else sees, or an operator mixes, keeps its order.</summary>
    [Theory]
    [InlineData("Softmax", false)]
    [InlineData("Relu", true)]
    public void Find_leavesChannelsThatOthersSee(string op, bool seen)
    {
        Node[] nodes = [Ir.Op("MatMul", "x,first", "g"), Ir.Op(op, "g", "h"), Ir.Op("MatMul", "h,last", seen ? "z" : "y"), .. seen ? [Ir.Op("ReduceMax", "h", "m"), Ir.Op("Add", "z,m", "y")] : Array.Empty<Node>()];
        Assert.Empty(Sets(nodes, Ir.Random("first", 8, 12), Ir.Random("last", 12, 8)));
    }

    [Fact]
    public void Find_leavesWeightsThatAreUsedTwice() => Assert.Empty(Sets(
        [Ir.Op("MatMul", "x,first", "g"), Ir.Op("Relu", "g", "h"), Ir.Op("MatMul", "h,first", "y")],
        Ir.Random("first", 12, 12)));

    /// <summary>Two heads of two channels, each read by two of the projection behind: a head's channels change places in both of its copies.</summary>
    [Fact]
    public void OrderAlong_movesWhatHeadsShare_inEveryHead()
    {
        var place = new ScaledAxis(Ir.Random("o", 8, 3), 0, [0, 1, 0, 1, 2, 3, 2, 3]);
        var set = new ChannelSet("h", 4, 2, [place], IsStream: false);

        Assert.Equal([1, 0, 3, 2, 4, 5, 6, 7], set.OrderAlong(place, [1, 0, 2, 3]));
        Assert.Equal([0, 1, 2, 3, 5, 4, 7, 6], set.OrderAlong(place, [0, 1, 3, 2]));
    }

    /// <summary>Blocks are hidden by a shuffle of the rows: the order brings them together again.</summary>
    [Theory]
    [InlineData(8, 64)]
    [InlineData(8, 32)]
    public void Run_findsBlocksThatWereShuffled(int width, int classSize)
    {
        const int channels = 64;
        const int units = 16;
        // Each group of channels counts in four places of its own; within a class a shuffle of all.
        float[] energies = new float[channels * units];
        int[] shuffled = [.. Enumerable.Range(0, channels).OrderBy(c => c / classSize).ThenBy(c => (c * 37) % 61)];
        for (int c = 0; c < channels; c++)
        {
            int group = shuffled[c] / width;
            for (int u = 0; u < 4; u++)
            {
                energies[(c * units) + (((group * 5) + (u * 3)) % units)] = 1 + (0.01f * (c % 7));
            }
        }

        double total = energies.Sum(e => (double)e);
        ChannelView[] views = [new ChannelView([.. energies.Select(e => (float)(e / total))], units, width, 0, 0.75)];
        var grouping = new ChannelGrouping(views, channels, classSize, default);
        int[] order = grouping.Run();

        Assert.Equal(Enumerable.Range(0, channels), order.Order());
        Assert.All(Enumerable.Range(0, channels), i => Assert.Equal(i / classSize, order[i] / classSize));
        Assert.InRange(grouping.Kept([.. Enumerable.Range(0, channels)]), 0, 0.8);
        Assert.InRange(grouping.Kept(order), 0.9999, 1.0001);
    }

    /// <summary>Two of four: the large ones stand together four by four, and can be spread so that nothing is lost.</summary>
    [Fact]
    public void Run_spreadsWhatIsLarge_overGroupsOfNeighbours()
    {
        const int channels = 16;
        float[] energies = [.. Enumerable.Range(0, channels * 3).Select(i => i / 3 / 4 % 2 == 0 ? 1f / 24 : 0)];
        var grouping = new ChannelGrouping([new ChannelView(energies, 3, 4, 2, 0.5)], channels, channels, default);

        Assert.Equal(0.5, grouping.Kept([.. Enumerable.Range(0, channels)]), 5);
        Assert.Equal(1, grouping.Kept(grouping.Run()), 5);
    }

    private static IReadOnlyList<ChannelSet> Sets(Node[] nodes, params Tensor[] weights) => ChannelSet.Find(new GraphIndex(Ir.Model(Ir.Graph("x", "y", nodes, weights)).Graph));
}
