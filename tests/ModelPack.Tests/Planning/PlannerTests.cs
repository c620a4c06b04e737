using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Planning;

public sealed class PlannerTests
{
    [Fact]
    public void Plan_checkpoint_isMP3001()
    {
        var checkpoint = new Model { Kind = ModelKind.Checkpoint, Graph = new Graph() };
        var error = Assert.Throws<ModelPackException>(() => Planner.Plan(checkpoint, new PlanOptions()));
        Assert.Equal(ErrorCodes.NothingToPlan, error.Code);
    }

    [Fact]
    public void Plan_pendingWeight_hasStreamsOfTheRightSizeThatCannotBeReadYet()
    {
        PlannedModel planned = Planner.Plan(MatMul(), new PlanOptions { IsExternal = _ => true, StockOperators = true });

        Node node = Assert.Single(planned.ExecutionModel.Graph.Nodes);
        Assert.Equal(("com.microsoft", "MatMulNBits"), (node.Domain, node.OpType));
        InitializerBinding codes = planned.Plan.Bindings.Single(b => b.Role == "codes");
        Assert.Equal(new Shape(48, 2, 16), codes.Shape);
        Tensor placeholder = planned.ExecutionModel.Graph.Initializers.Single(t => t.Name == codes.Initializer);
        Assert.True(placeholder.TryGetRawData(out TensorData data));
        var error = Assert.Throws<ModelPackException>(() => data.ToArray());
        Assert.Equal(ErrorCodes.StreamNotEncoded, error.Code);
    }

    [Fact]
    public void Plan_json_readsBackEqual()
    {
        ExecutionPlan plan = Planner.Plan(MatMul(), new PlanOptions { IsExternal = _ => true, StockOperators = true }).Plan;
        ExecutionPlan again = ExecutionPlanJson.Read(ExecutionPlanJson.Write(plan));
        Assert.Equal(plan.Target, again.Target);
        Assert.Equal(plan.Bindings.AsEnumerable(), again.Bindings);
        Assert.Equal(plan.Nodes.Select(n => (n.Node, n.Op, n.Kernel, n.Tensor)), again.Nodes.Select(n => (n.Node, n.Op, n.Kernel, n.Tensor)));
    }

    [Theory]
    [InlineData(1.0, 0.97, 1.0, "ai.modelpack", "modelpack:PackedMatMul(int4,f32)")]
    [InlineData(1.0, 0.90, 1.0, "com.microsoft", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData(1.0, 3.00, 1.0, "ai.modelpack", "modelpack:PackedMatMul(int4,f32)")]
    public void Plan_measuredProducts_takesAnotherKernelOnlyIfItIsFasterThanChance(double own, double theirs, double integer, string domain, string kernel)
    {
        var times = new FixedTimes(new() { ["modelpack:PackedMatMul(int4,f32)"] = own, ["ort:MatMulNBits(bits=4,block=32,level=0)"] = theirs, ["modelpack:PackedMatMul(int4,int8)"] = integer });
        PlannedModel planned = Planner.Plan(MatMul(), new PlanOptions { IsExternal = _ => true, Times = times, Rows = 7 });

        Assert.Equal(domain, Assert.Single(planned.ExecutionModel.Graph.Nodes).Domain);
        PlannedNode node = Assert.Single(planned.Plan.Nodes);
        Assert.Equal(kernel, node.Kernel);
        Assert.Contains(node.Alternatives, a => a.Reason.EndsWith(" times the time measured here with 7 rows of activations", StringComparison.Ordinal));
        Assert.Equal((kernel, "modelpack:PackedMatMul(int4,f32)"), Assert.Single(times.Choices));
        Assert.All(times.Asked, c => Assert.Equal((48L, 64L, 7L), (c.Outputs, c.Inputs, c.Rows)));
        Assert.DoesNotContain(times.Asked, c => c.Kernel.Contains("int8", StringComparison.Ordinal));
    }

    /// <summary>A fifth of the blocks is there: the sparse kernel is usual, and the dense product taken only where it is faster than by chance.</summary>
    [Theory]
    [InlineData(1.0, 0.97, "modelpack:SparseMatMul(32x32,f32)")]
    [InlineData(1.0, 0.90, "expand")]
    [InlineData(1.0, 3.00, "modelpack:SparseMatMul(32x32,f32)")]
    public void Plan_measuredSparseProducts_takesTheFaster(double own, double theirs, string kernel)
    {
        const int blocks = 5;
        const int n = 32 * blocks;
        DenseEncoding mask = DenseEncoding.Raw(DType.U8, new Shape(blocks, 1), TensorData.FromBytes(Enumerable.Range(0, blocks).Select(r => (byte)(1 << r)).ToArray()));
        DenseEncoding values = DenseEncoding.Raw(DType.F32, new Shape(blocks, 32 * 32), TensorData.FromBytes(new byte[blocks * 32 * 32 * sizeof(float)]));
        WeightEncoding sparse = Structured.Transpose(new StructuredEncoding(UnitSpec.Parse("blocksparse(block=32x32)"), new Shape(n, n), [mask, values]));
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", n, n) with { Encoding = sparse }));
        var times = new FixedTimes(new() { ["modelpack:SparseMatMul(32x32,f32)"] = own, ["ort:MatMul"] = theirs });
        PlannedNode node = Assert.Single(Planner.Plan(model, new PlanOptions { IsExternal = _ => true, Times = times, Rows = 3 }).Plan.Nodes);

        Assert.Equal(kernel, node.Kernel);
        Assert.Contains(node.Alternatives, a => a.Reason.Contains("of the dense product measured here with 3 rows of activations", StringComparison.Ordinal));
        Assert.Equal((kernel, "modelpack:SparseMatMul(32x32,f32)"), Assert.Single(times.Choices));
        ProductCandidate asked = times.Asked.Single(a => a.Structure is not null);
        Assert.Equal(("blocksparse", 80, 3L), (asked.Structure!.Id, asked.SparsityPercent, asked.Rows));
    }

    [Fact]
    public void Plan_productsThatWereNotMeasured_takesTheUsualKernels()
    {
        var times = new FixedTimes(new() { ["ort:MatMulNBits(bits=4,block=32,level=0)"] = 0.1 });
        ExecutionPlan plan = Planner.Plan(MatMul(), new PlanOptions { IsExternal = _ => true, Times = times }).Plan;
        ExecutionPlan usual = Planner.Plan(MatMul(), new PlanOptions { IsExternal = _ => true }).Plan;

        Assert.Equal(ExecutionPlanJson.Write(usual), ExecutionPlanJson.Write(plan));
        Assert.Empty(times.Choices);
    }

    private sealed class FixedTimes(Dictionary<string, double> seconds) : IProductTimes
    {
        public List<(string Kernel, string Usual)> Choices { get; } = [];

        public List<ProductCandidate> Asked { get; } = [];

        public double? Seconds(ProductCandidate candidate)
        {
            Asked.Add(candidate);
            return seconds.TryGetValue(candidate.Kernel, out double value) ? value : null;
        }

        public void Chosen(string kernel, string usual) => Choices.Add((kernel, usual));
    }

    /// <summary>y = x w with w [64, 48], to be stored as 4-bit blocks of 32 along the 64.</summary>
    private static Model MatMul()
    {
        var values = new Shape(48, 64);
        DenseEncoding raw = DenseEncoding.Raw(DType.F32, values, TensorData.FromBytes(new byte[48 * 64 * 4]));
        var weight = new Tensor
        {
            Name = "w",
            DType = DType.F32,
            Shape = new Shape(64, 48),
            Encoding = new StructuredEncoding(
                new UnitSpec("permuted", ("perm", "1x0")), new Shape(64, 48), [DenseEncoding.Pending(new UnitSpec("int4", ("block", "32"), ("scale", "f32")), raw)]),
        };
        return new Model
        {
            Kind = ModelKind.Onnx,
            IrVersion = 8,
            Opsets = ImmutableSortedDictionary<string, long>.Empty.Add("", 17),
            Graph = new Graph
            {
                Inputs = [new ValueInfo("x", new ModelPack.Compiler.ValueType(DType.F32, [new Dimension(1), new Dimension(64)]))],
                Outputs = [new ValueInfo("y", ModelPack.Compiler.ValueType.Unknown)],
                Nodes = [new Node { OpType = "MatMul", Inputs = ["x", "w"], Outputs = ["y"] }],
                Initializers = [weight],
            },
        };
    }
}
