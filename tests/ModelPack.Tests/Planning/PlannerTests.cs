using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
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
