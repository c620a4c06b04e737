namespace ModelPack.Compiler.Shapes;

/// <summary>Puts what is known of the outputs of a node.</summary>
internal delegate void ShapeRule(NodeShapes node);

/// <summary>The rule of every operator whose outputs have a shape that follows from the shapes of its inputs, its attributes and small constants.</summary>
internal static class ShapeRules
{
    private const string Microsoft = "com.microsoft:";

    private const string Own = "ai.modelpack:";

    private static readonly Dictionary<string, ShapeRule> Rules = Create();

    /// <summary>The rule of a node; null for operators without.</summary>
    public static ShapeRule? Find(Node node) => Rules.GetValueOrDefault(node.Domain.Length == 0 ? node.OpType : $"{node.Domain}:{node.OpType}");

    private static Dictionary<string, ShapeRule> Create()
    {
        var rules = new Dictionary<string, ShapeRule>(StringComparer.Ordinal);
        void Add(ShapeRule rule, params ReadOnlySpan<string> names)
        {
            foreach (string name in names)
            {
                rules.Add(name, rule);
            }
        }

        Add(
            ElementwiseRules.Same,
            "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh", "Exp", "Log", "Erf", "Sign", "Reciprocal", "Sigmoid", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Mish",
            "HardSigmoid", "HardSwish", "Softplus", "Softsign", "ThresholdedRelu", "Shrink", "Clip", "Softmax", "LogSoftmax", "Hardmax", "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
            "MeanVarianceNormalization", "RMSNormalization", "LRN", "CumSum", "Trilu", "BitwiseNot", "ScatterND", "ScatterElements", "Scatter", "ReverseSequence", "RotaryEmbedding", Microsoft + "FastGelu", Microsoft + "BiasGelu",
            Microsoft + "Gelu", Microsoft + "QuickGelu", Microsoft + "RotaryEmbedding");
        Add(ElementwiseRules.Unary(x => x), "Identity");
        Add(ElementwiseRules.Unary(x => -x), "Neg");
        Add(ElementwiseRules.Unary(Math.Abs), "Abs");
        Add(ElementwiseRules.Unary(Math.Floor), "Floor");
        Add(ElementwiseRules.Unary(Math.Ceiling), "Ceil");
        Add(ElementwiseRules.Unary(Math.Round), "Round");
        Add(ElementwiseRules.Unary(Math.Sqrt), "Sqrt");
        Add(ElementwiseRules.Unary(x => x == 0 ? 1 : 0), "Not");
        Add(ElementwiseRules.Broadcast((a, b) => a + b), "Add", "Sum");
        Add(ElementwiseRules.Broadcast((a, b) => a - b), "Sub");
        Add(ElementwiseRules.Broadcast((a, b) => a * b), "Mul");
        Add(ElementwiseRules.Broadcast(Math.Min), "Min");
        Add(ElementwiseRules.Broadcast(Math.Max), "Max");
        Add(ElementwiseRules.Broadcast(), "Pow", "Mod", "Mean", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor");
        Add(ElementwiseRules.Divide, "Div");
        Add(ElementwiseRules.Broadcast((a, b) => a == b ? 1 : 0, DType.Bool), "Equal");
        Add(ElementwiseRules.Broadcast((a, b) => a > b ? 1 : 0, DType.Bool), "Greater");
        Add(ElementwiseRules.Broadcast((a, b) => a >= b ? 1 : 0, DType.Bool), "GreaterOrEqual");
        Add(ElementwiseRules.Broadcast((a, b) => a < b ? 1 : 0, DType.Bool), "Less");
        Add(ElementwiseRules.Broadcast((a, b) => a <= b ? 1 : 0, DType.Bool), "LessOrEqual");
        Add(ElementwiseRules.Broadcast((a, b) => a != 0 && b != 0 ? 1 : 0, DType.Bool), "And");
        Add(ElementwiseRules.Broadcast((a, b) => a != 0 || b != 0 ? 1 : 0, DType.Bool), "Or");
        Add(ElementwiseRules.Broadcast((a, b) => (a != 0) != (b != 0) ? 1 : 0, DType.Bool), "Xor");
        Add(ElementwiseRules.Broadcast(null, DType.Bool), "IsNaN", "IsInf");
        Add(ElementwiseRules.Where, "Where");
        Add(ElementwiseRules.Cast, "Cast");
        Add(ElementwiseRules.CastLike, "CastLike");
        Add(ElementwiseRules.Dropout, "Dropout");

        Add(LayoutRules.Reshape, "Reshape");
        Add(LayoutRules.Flatten, "Flatten");
        Add(LayoutRules.Transpose, "Transpose");
        Add(LayoutRules.Squeeze, "Squeeze");
        Add(LayoutRules.Unsqueeze, "Unsqueeze");
        Add(LayoutRules.Concat, "Concat");
        Add(LayoutRules.Split, "Split");
        Add(LayoutRules.Expand, "Expand");
        Add(LayoutRules.Tile, "Tile");
        Add(LayoutRules.Pad, "Pad");
        Add(LayoutRules.DepthToSpace, "DepthToSpace");
        Add(LayoutRules.SpaceToDepth, "SpaceToDepth");

        Add(IndexingRules.ShapeOf, "Shape");
        Add(IndexingRules.Size, "Size");
        Add(IndexingRules.Gather, "Gather");
        Add(IndexingRules.PackedGather, Own + "PackedGather");
        Add(IndexingRules.GatherElements, "GatherElements");
        Add(IndexingRules.GatherND, "GatherND");
        Add(IndexingRules.GatherBlockQuantized, Microsoft + "GatherBlockQuantized");
        Add(IndexingRules.Slice, "Slice");
        Add(IndexingRules.ConstantOfShape, "ConstantOfShape");
        Add(IndexingRules.Range, "Range");
        Add(IndexingRules.OneHot, "OneHot");
        Add(IndexingRules.TopK, "TopK");
        Add(IndexingRules.NonZero, "NonZero");
        Add(IndexingRules.EyeLike, "EyeLike");

        Add(WindowRules.Conv, "Conv");
        Add(WindowRules.ConvInteger, "ConvInteger");
        Add(WindowRules.QLinearConv, "QLinearConv");
        Add(WindowRules.ConvTranspose, "ConvTranspose");
        Add(WindowRules.Pool, "MaxPool", "AveragePool", "LpPool");
        Add(WindowRules.GlobalPool, "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool");
        Add(WindowRules.Resize, "Resize", "Upsample");
        Add(WindowRules.PackedConv, Own + "PackedConv");

        Add(ProductRules.MatMul, "MatMul");
        Add(ProductRules.MatMulInteger, "MatMulInteger");
        Add(ProductRules.QLinearMatMul, "QLinearMatMul");
        Add(ProductRules.Gemm, "Gemm");
        Add(ProductRules.Packed, Microsoft + "MatMulNBits", Own + "PackedMatMul", Own + "GatedMlp", Own + "ContextualMlp", Own + "Experts");
        Add(ProductRules.Einsum, "Einsum");
        Add(ProductRules.Quantize, "QuantizeLinear");
        Add(ProductRules.Dequantize, "DequantizeLinear");
        Add(ProductRules.DynamicQuantize, "DynamicQuantizeLinear");
        Add(ProductRules.LayerNormalization, "LayerNormalization", "SimplifiedLayerNormalization");
        Add(ProductRules.SkipNormalization, Microsoft + "SkipLayerNormalization", Microsoft + "SkipSimplifiedLayerNormalization");
        Add(ProductRules.GroupQueryAttention, Microsoft + "GroupQueryAttention");
        Add(ProductRules.Recurrent, "LSTM", "GRU", "RNN");

        Add(ReductionRules.Reduce(), "ReduceMean", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare");
        Add(ReductionRules.Reduce((a, b) => a + b), "ReduceSum");
        Add(ReductionRules.Reduce((a, b) => a * b), "ReduceProd");
        Add(ReductionRules.Reduce(Math.Max), "ReduceMax");
        Add(ReductionRules.Reduce(Math.Min), "ReduceMin");
        Add(ReductionRules.ArgMax, "ArgMax", "ArgMin");
        return rules;
    }
}
