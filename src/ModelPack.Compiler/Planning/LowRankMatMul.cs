using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Kernels.MatMul;
using ModelPack.Structures;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// MatMul and Gemm on a weight of low rank, as two products one after the other, each packed where a kernel reads the factor's format; and on a tensor train, core by core where that is fewer multiplications than the matrix has.
/// Expanded otherwise.
/// </summary>
/// <remarks>
/// <code>
/// lowrank    MatMul(x, W)  ->  u = product(x, A);  y = product(u, B)
/// pivotrank  MatMul(x, W)  ->  u = product(x, A);  v = product(u, C);  y = Gather(Concat(u, v), order)
/// sum        MatMul(x, W)  ->  y = Add(product(product(x, A), B), product(x, R)), where a kernel reads the format of R; such weights are small only when they are not expanded
/// mpo        MatMul(x, W)  ->  s = Reshape(x);  s = MatMul(core, Reshape(s)) for every core;  y = Reshape(s)
/// </code>
/// There is no operator that makes both products for some rows at a time: measured, it is 0.63 to 1.03 times as fast (<c>ModelPack.Benchmarks --fused-ranks</c>, tests/ModelPack.Benchmarks/results).
/// </remarks>
public static class LowRankMatMul
{
    /// <summary>How the names of its kernels begin in plans.</summary>
    public const string Name = "modelpack:LowRankMatMul";

    /// <summary>How the names of contractions begin in plans.</summary>
    public const string TrainName = "ort:MpoMatMul";

    /// <summary>Multiplications that a node costs before it computes anything: about 3 microseconds of one core at one row.</summary>
    private const double NodeCost = 20_000;

    /// <summary>Time per multiplication of small matrices by cores, over that of a large product.</summary>
    private const double CoreCost = 2;

    /// <summary>Negative axes of Concat and Gather.</summary>
    private const long LeastOpset = 11;

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null when the weight is none of these, or the operator cannot take part.</summary>
    internal static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        if (!(node.Is("MatMul") || node.Is("Gemm")) || Matrix(tensor.Encoding) is not (StructuredEncoding matrix, bool transposed))
        {
            return null;
        }

        string kernel = Kernel(matrix);
        string? reason = context.Opset < LeastOpset ? "it needs operator set 11" : MatMulNode.WhyNot(node, tensor, transposed, context);
        if (reason is not null)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, reason));
        }

        if (matrix.Structure.Id == SumOf.Id)
        {
            return Sum(node, tensor, matrix, context);
        }

        (double seconds, double dense) = Costs(matrix, tensor, context);
        string predicted = string.Create(CultureInfo.InvariantCulture, $"about {seconds / dense:0.00} times the time of the dense product at {context.Options.Rows} rows, {Multiplications(matrix) / ((double)matrix.Shape[0] * matrix.Shape[1]):0.000} of its multiplications");
        if (seconds >= dense)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, predicted));
        }

        ImmutableArray<Node> nodes = matrix.Structure.Id == MpoShape.Id ? Train(node, tensor, matrix, context) : Factors(node, tensor, matrix, context);
        return new NodeChoice(kernel, nodes, [new RejectedKernel(NodeChoice.Expand, string.Create(
            CultureInfo.InvariantCulture, $"factor by factor it takes {predicted}; {tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights"))]);
    }

    /// <summary>True for the kernels that are chosen here.</summary>
    public static bool IsTaken(string kernel) => kernel.StartsWith(Name, StringComparison.Ordinal) || kernel.StartsWith(TrainName, StringComparison.Ordinal);

    /// <summary>Share of the multiplications of the dense product; null for other weights.</summary>
    public static double? Share(WeightEncoding encoding) => Matrix(encoding) is (StructuredEncoding matrix, _) ? Multiplications(matrix) / ((double)matrix.Shape[0] * matrix.Shape[1]) : null;

    /// <summary>The matrix, and whether the tensor is its transpose.</summary>
    private static (StructuredEncoding Matrix, bool Transposed)? Matrix(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding { Structure.Id: LowRank.Id or LowRank.PivotId or MpoShape.Id or SumOf.Id } s => (s, false),
        StructuredEncoding { Components: [StructuredEncoding { Structure.Id: LowRank.Id or LowRank.PivotId or MpoShape.Id or SumOf.Id } inner] } s when s.Structure.Id == "permuted" && s.Structure.Text("perm", "") == "1x0" => (inner, true),
        _ => null,
    };

    private static string Kernel(StructuredEncoding matrix) => matrix.Structure.Id == MpoShape.Id ? TrainName
        : matrix.Structure.Id == SumOf.Id ? (matrix.Components[0] is StructuredEncoding { Structure.Id: LowRank.Id } low ? Kernel(low) : Name) + "+" + (matrix.Components[^1] is DenseEncoding rest ? rest.Format.Id : "any")
        : $"{Name}({matrix.Structure.Text("rank", "")},{string.Join(',', Parts(matrix).Select(p => p is DenseEncoding d ? d.Format.Id : "any"))})";

    /// <summary>The components that are multiplied with, first one first.</summary>
    private static WeightEncoding[] Parts(StructuredEncoding matrix) => matrix.Structure.Id switch
    {
        LowRank.Id => [matrix.Components[1], matrix.Components[0]],
        LowRank.PivotId => [matrix.Components[1], matrix.Components[2]],
        SumOf.Id => [.. matrix.Components.SelectMany(c => c is StructuredEncoding { Structure.Id: LowRank.Id } low ? Parts(low) : [c])],
        _ => [.. matrix.Components],
    };

    private static double Multiplications(StructuredEncoding matrix) =>
        matrix.Structure.Id == MpoShape.Id ? MpoShape.Of(matrix).MultiplicationsPerRow : Parts(matrix).Sum(p => (double)p.Shape.ElementCount);

    /// <summary>Predicted time factor by factor and of the dense product: seconds with a profile that measured them, else multiplications.</summary>
    private static (double Factors, double Dense) Costs(StructuredEncoding matrix, Tensor tensor, PlanContext context)
    {
        bool train = matrix.Structure.Id == MpoShape.Id;
        int nodes = train ? 2 * matrix.Components.Length : matrix.Structure.Id == LowRank.PivotId ? 4 : 2;
        if (context.Options.Profile is not HardwareProfile profile)
        {
            double perRow = Multiplications(matrix) * (train ? CoreCost : 1);
            return ((perRow * context.Options.Rows) + (nodes * NodeCost), ((double)matrix.Shape[0] * matrix.Shape[1] * context.Options.Rows) + NodeCost);
        }

        long rows = context.Options.Rows;
        long model = context.WeightBytes;
        double dense = CostModel.Product(profile, NodeChoice.Expand, matrix.Shape[0], matrix.Shape[1], matrix.Shape.ElementCount * sizeof(float), rows, 0, Math.Max(model, matrix.Shape.ElementCount * sizeof(float))).Seconds;
        double launch = profile.LaunchMicroseconds * 1e-6;
        if (train)
        {
            double all = Multiplications(matrix);
            long side = (long)Math.Sqrt(all);
            return (CostModel.Product(profile, NodeChoice.Expand, side, side, Parts(matrix).Sum(p => p.Shape.ElementCount) * sizeof(float), rows, 0, model).Seconds * CoreCost + (nodes * launch), dense);
        }

        double factors = (nodes - 2) * launch;
        foreach (WeightEncoding part in Parts(matrix))
        {
            using MatMulWeight? weight = context.Options.StockOperators ? null : PackedMatMul.Weight(Part(tensor, part, 0));
            (string kernel, long bytes) = weight is null ? (NodeChoice.Expand, part.Shape.ElementCount * sizeof(float)) : (PackedMatMul.Kernel(weight.Format, MatMulArithmetic.Float), PackedMatrix.Bytes(weight));
            factors += CostModel.Product(profile, kernel, part.Shape[0], part.Shape[1], bytes, rows, 0, Math.Max(model, bytes)).Seconds;
        }

        return (factors, dense);
    }

    /// <summary>A part of low rank and what it leaves: packed where a kernel reads what is left.</summary>
    private static NodeChoice Sum(Node node, Tensor tensor, StructuredEncoding matrix, PlanContext context)
    {
        string kernel = Kernel(matrix);
        if (matrix.Components is not [StructuredEncoding { Structure.Id: LowRank.Id } low, DenseEncoding rest])
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, "it is no sum of a part of low rank and a dense one"));
        }

        Tensor residual = Part(tensor, rest, 1);
        using (MatMulWeight? weight = context.Options.StockOperators ? null : PackedMatMul.Weight(residual))
        {
            if (weight is null)
            {
                return NodeChoice.Expanded(new RejectedKernel(kernel, $"no kernel multiplies with {rest.Format.Id}"));
            }
        }

        Tensor factors = Part(tensor, low, 0);
        string bias = node.Is("Gemm") ? node.Input(2) : "";
        (string inner, string first, string second) = (Fresh(node, "inner", context), Fresh(node, "low", context), Fresh(node, "rest", context));
        string result = bias.Length > 0 ? Fresh(node, "product", context) : node.Outputs[0];
        ImmutableArray<Node> nodes =
        [
            .. Product(node, node.Inputs[0], Part(factors, low.Components[1], 1), inner, context),
            .. Product(node, inner, Part(factors, low.Components[0], 0), first, context),
            .. Product(node, node.Inputs[0], residual, second, context),
            new Node { OpType = "Add", Inputs = [first, second], Outputs = [result] },
            .. bias.Length > 0 ? (Node[])[MatMulNode.AddBias(node, result, bias)] : [],
        ];
        return new NodeChoice(kernel, nodes, [new RejectedKernel(NodeChoice.Expand, string.Create(
            CultureInfo.InvariantCulture, $"{tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights"))]);
    }

    private static ImmutableArray<Node> Factors(Node node, Tensor tensor, StructuredEncoding matrix, PlanContext context)
    {
        bool pivots = matrix.Structure.Id == LowRank.PivotId;
        string bias = node.Is("Gemm") ? node.Input(2) : "";
        string result = bias.Length > 0 ? Fresh(node, "product", context) : node.Outputs[0];
        var nodes = ImmutableArray.CreateBuilder<Node>();
        string inner = Fresh(node, "inner", context);
        nodes.AddRange(Product(node, node.Inputs[0], Part(tensor, matrix.Components[1], 1), inner, context));
        if (!pivots)
        {
            nodes.AddRange(Product(node, inner, Part(tensor, matrix.Components[0], 0), result, context));
        }
        else
        {
            string others = Fresh(node, "others", context);
            string joined = Fresh(node, "joined", context);
            nodes.AddRange(Product(node, inner, Part(tensor, matrix.Components[2], 2), others, context));
            nodes.Add(new Node { OpType = "Concat", Inputs = [inner, others], Outputs = [joined], Attributes = [new NodeAttribute("axis", new AttributeValue.Int(-1))] });
            nodes.Add(new Node { OpType = "Gather", Inputs = [joined, Constant(tensor, "order", Order(matrix), context)], Outputs = [result], Attributes = [new NodeAttribute("axis", new AttributeValue.Int(-1))] });
        }

        if (bias.Length > 0)
        {
            nodes.Add(MatMulNode.AddBias(node, result, bias));
        }

        return nodes.ToImmutable();
    }

    /// <summary>Where each row of a matrix of pivots lies among the stored rows and the combinations after them.</summary>
    private static long[] Order(StructuredEncoding matrix)
    {
        var mask = (DenseEncoding)matrix.Components[0];
        byte[] bytes = new byte[mask.Streams[0].Data.LengthBytes];
        mask.Streams[0].Data.Read(0, bytes);
        var rows = PivotRows.Of(matrix, bytes);
        long rank = matrix.Components[1].Shape[0];
        long[] order = new long[rows.Count];
        for (int row = 0; row < order.Length; row++)
        {
            order[row] = rows.IsStored(row) ? rows.Before(row) : rank + row - rows.Before(row);
        }

        return order;
    }

    /// <summary>y = x part^T, on the packed part or on its dense values.</summary>
    private static Node[] Product(Node node, string x, Tensor part, string y, PlanContext context)
    {
        using MatMulWeight? weight = context.Options.StockOperators ? null : PackedMatMul.Weight(part);
        if (weight is not null)
        {
            var multiply = new Node { Name = $"{node.Handle}_{part.Name}", OpType = "MatMul", Inputs = [x, part.Name], Outputs = [y] };
            return [.. PackedMatMul.Build(multiply, part, part.Shape[0], PackedMatrix.Bytes(weight), MatMulArithmetic.Float, context)];
        }

        string turned = Fresh(node, "turned", context);
        return
        [
            new Node { OpType = "Transpose", Inputs = [context.Streams.GetDense(part)], Outputs = [turned], Attributes = [new NodeAttribute("perm", new AttributeValue.Ints([1, 0]))] },
            new Node { OpType = "MatMul", Inputs = [x, turned], Outputs = [y] },
        ];
    }

    //  x [..., K]  ->  Pad to the product of the i_k  ->  [-1, i_1, rest]
    //  for every core [o_k r_k, r_(k-1) i_k]:  core x [-1, r_(k-1) i_k, rest]  =  [-1, o_k r_k, rest], seen as [-1, r_k i_(k+1), rest]
    //  [-1, o_1 ... o_n]  ->  Slice to N  ->  [..., N]
    private static ImmutableArray<Node> Train(Node node, Tensor tensor, StructuredEncoding matrix, PlanContext context)
    {
        var shape = MpoShape.Of(matrix);
        long inputs = matrix.Shape[1];
        long outputs = matrix.Shape[0];
        long columns = MpoShape.Product(shape.Columns);
        var nodes = ImmutableArray.CreateBuilder<Node>();
        string state = node.Inputs[0];
        string Next(string op, string what, ImmutableArray<string> operands, params ImmutableArray<NodeAttribute> attributes)
        {
            string name = Fresh(node, what, context);
            nodes.Add(new Node { OpType = op, Inputs = operands, Outputs = [name], Attributes = attributes });
            return name;
        }

        string sizes = Next("Shape", "sizes", [state]);
        string leading = Next("Slice", "leading", [sizes, Constant(tensor, "zero", [0], context), Constant(tensor, "last", [-1], context)]);
        string whole = Next("Concat", "whole", [leading, Constant(tensor, "outputs", [outputs], context)], new NodeAttribute("axis", new AttributeValue.Int(0)));
        if (columns > inputs)
        {
            state = Next("Reshape", "flat", [state, Constant(tensor, "flat", [-1, inputs], context)]);
            state = Next("Pad", "filled", [state, Constant(tensor, "fill", [0, 0, 0, columns - inputs], context)]);
        }

        long rest = columns;
        for (int k = 0; k < shape.Sites; k++)
        {
            rest /= shape.Columns[k];
            state = Next("Reshape", "site", [state, Constant(tensor, $"site_{k}", [-1, (long)shape.Before(k) * shape.Columns[k], rest], context)]);
            state = Next("MatMul", "contracted", [context.Streams.GetDense(Part(tensor, matrix.Components[k], k)), state]);
        }

        long rows = MpoShape.Product(shape.Rows);
        state = Next("Reshape", "rows", [state, Constant(tensor, "rows", [-1, rows], context)]);
        if (rows > outputs)
        {
            state = Next("Slice", "cut", [state, Constant(tensor, "zero", [0], context), Constant(tensor, "outputs", [outputs], context), Constant(tensor, "one", [1], context)]);
        }

        state = Next("Reshape", "product", [state, whole]);
        string bias = node.Is("Gemm") ? node.Input(2) : "";
        nodes.Add(bias.Length > 0 ? MatMulNode.AddBias(node, state, bias) : new Node { Name = node.Name, OpType = "Identity", Inputs = [state], Outputs = node.Outputs });
        return nodes.ToImmutable();
    }

    /// <summary>A component as a tensor that bindings know by the name of the weight and its number.</summary>
    private static Tensor Part(Tensor tensor, WeightEncoding component, int index) =>
        new() { Name = InitializerBinding.ComponentName(tensor.Name, index), DType = DType.F32, Shape = component.Shape, Encoding = component };

    private static string Fresh(Node node, string what, PlanContext context) => GraphValueNames.Fresh(context.Names, $"{node.Outputs[0]}_{what}");

    private static string Constant(Tensor tensor, string what, long[] values, PlanContext context)
    {
        string name = GraphValueNames.Fresh(context.Names, $"{tensor.Name}_{what}");
        context.Constants.Add(SmallConstants.Integers(name, new Shape(values.Length), values));
        return name;
    }
}
