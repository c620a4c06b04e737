namespace ModelPack.Compiler.Planning;

/// <summary>
/// Conv, MatMul and Gemm whose activations are quantised in the graph (their first input comes from DequantizeLinear) and whose weights are stored as int8 with one scale per output channel: the weight is
/// handed over as int8 through a DequantizeLinear of its own, which is the form that ONNX Runtime fuses to QLinearConv, QLinearMatMul and QGemm.
/// <code>
/// Conv(x, w)             =>  Conv(x, DequantizeLinear(codes [O, I, k...] i8, scales [O], zeros [O]; axis = 0))
/// MatMul(x, w [K, N])    =>  MatMul(x, DequantizeLinear(codes [K, N] i8, scales [N], zeros [N]; axis = 1))
/// Gemm(x, w [N, K], c)   =>  as MatMul with axis = 0
/// </code>
/// </summary>
internal static class IntegerKernels
{
    /// <summary>DequantizeLinear with an axis.</summary>
    private const long LeastOpset = 13;

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null when this is not for it.</summary>
    public static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        if (!(node.Is("Conv") || node.Is("MatMul") || node.Is("Gemm")) || context.Opset < LeastOpset || !IsDequantized(context, node.Input(0)) || Rows(tensor) is not (BlockWeight weight, int axis))
        {
            return null;
        }

        bool transposed = axis == 1;
        if (transposed != (node.Is("MatMul") || (node.Is("Gemm") && node.Int("transB", 0) == 0)))
        {
            return null;
        }

        string codes = context.Streams.Get(tensor, weight.Encoding, "codes", DType.I8, tensor.Shape, transposed);
        string scales = context.Streams.Get(tensor, weight.Encoding, "scales", DType.F32, new Shape(weight.Rows));
        string zeros = GraphValueNames.Fresh(context.Names, $"{tensor.Name}_zeros");
        string dense = GraphValueNames.Fresh(context.Names, $"{tensor.Name}_dequantized");
        context.Constants.Add(Tensor.Raw(zeros, DType.I8, new Shape(weight.Rows), TensorData.FromBytes(new byte[weight.Rows])));
        var dequantize = new Node
        {
            Name = $"{tensor.Name}_DequantizeLinear",
            OpType = "DequantizeLinear",
            Inputs = [codes, scales, zeros],
            Outputs = [dense],
            Attributes = [new NodeAttribute("axis", new AttributeValue.Int(axis))],
        };
        Node reads = node with { Inputs = node.Inputs.SetItem(1, dense) };
        Node[] bias = [];
        if (IntegerBias.Of(node, weight, context) is (Node lowered, string name))
        {
            bias = [lowered];
            reads = reads with { Inputs = reads.Inputs.SetItem(2, name) };
        }

        return new NodeChoice(
            Kernel(node, context),
            [dequantize, .. bias, reads],
            [new RejectedKernel(NodeChoice.Expand, "dense f32 arithmetic on activations that are rounded to 8 bits anyway")]);
    }

    /// <summary>True for a value that comes out of 8-bit integers; 8-bit floats are multiplied as floats.</summary>
    private static bool IsDequantized(PlanContext context, string value) =>
        context.Index.Producer(value) is Node node && node.Is("DequantizeLinear")
        && !(context.Index.Producer(node.Input(0)) is Node codes && context.Index.Constant(codes.Input(2)) is Tensor zero && zero.DType.IsFloat());

    /// <summary>The weight as rows of int8 with a scale each, and the axis of the tensor along which rows follow each other.</summary>
    private static (BlockWeight Weight, int Axis)? Rows(Tensor tensor)
    {
        WeightEncoding encoding = tensor.Encoding is StructuredEncoding { Structure.Id: "reshaped", Components: [DenseEncoding inner] } && inner.Shape[0] == tensor.Shape[0] ? inner : tensor.Encoding;
        return tensor.DType == DType.F32 && BlockWeight.Of(encoding) is { Bits: 8, Symmetric: true, BlockCount: 1 } weight && weight.BlobBytes == weight.Columns
            ? (weight, weight.Transposed ? 1 : 0)
            : null;
    }

    /// <summary>What ONNX Runtime makes of the node, through an activation function that the integer range replaces.</summary>
    private static string Kernel(Node node, PlanContext context)
    {
        string output = node.Outputs[0];
        if (context.Index.Uses(output) is [{ Node: Node after }] && (after.Is("Relu") || after.Is("Clip")))
        {
            output = after.Outputs[0];
        }

        bool quantizedOutput = context.Index.Uses(output) is [{ Node: Node quantize }] && quantize.Is("QuantizeLinear");
        return (node.OpType, quantizedOutput) switch
        {
            ("Conv", true) => "ort:QLinearConv(u8,s8)",
            ("Gemm", _) => "ort:QGemm(u8,s8)",
            ("MatMul", true) => "ort:QLinearMatMul(u8,s8)",
            ("MatMul", false) => "ort:MatMulIntegerToFloat(u8,s8)",
            _ => "ort:DequantizeLinear+Conv",
        };
    }
}
