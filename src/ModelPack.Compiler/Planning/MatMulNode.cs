namespace ModelPack.Compiler.Planning;

/// <summary>MatMul and Gemm as products with a stored matrix.</summary>
internal static class MatMulNode
{
    /// <summary>Why an operator that multiplies rows of f32 with the rows of a stored matrix cannot take the place of a node; null when it can.</summary>
    /// <param name="node">MatMul or Gemm.</param>
    /// <param name="tensor">Its weight, input 1.</param>
    /// <param name="transposed">True when the weight is the transpose of the stored matrix.</param>
    /// <param name="context">The plan.</param>
    public static string? WhyNot(Node node, Tensor tensor, bool transposed, PlanContext context)
    {
        bool gemm = node.Is("Gemm");
        bool weightIsRowMajorOverOutputs = gemm && node.Int("transB", 0) != 0;
        return true switch
        {
            _ when tensor.DType != DType.F32 => $"activations are {tensor.DType.Name()}, the kernel is chosen for f32 only",
            _ when tensor.Shape.Rank != 2 => "the weight is not a matrix",
            _ when transposed == weightIsRowMajorOverOutputs => "blocks do not run along the reduction axis",
            _ when node.Input(0) == tensor.Name => "both factors are the same tensor",
            _ when gemm && node.Int("transA", 0) != 0 => "Gemm transposes its first factor",
            _ when gemm && !IsOne(node.Float("alpha", 1)) => "Gemm scales the product",
            _ when gemm && node.Input(2).Length > 0 && !IsOne(node.Float("beta", 1)) => "Gemm scales its bias",
            _ when gemm && context.Opset < 7 => "Gemm of this operator-set version broadcasts differently",
            _ => null,
        };
    }

    /// <summary>Outputs and inputs of a node whose weight is a matrix.</summary>
    public static (long Outputs, long Inputs) Sizes(Node node, Shape weight) => node.Is("Gemm") && node.Int("transB", 0) != 0 ? (weight[0], weight[1]) : (weight[1], weight[0]);

    /// <summary>The bias of a Gemm as a node of its own.</summary>
    public static Node AddBias(Node node, string product, string bias) =>
        new() { Name = node.Name.Length > 0 ? node.Name + "_bias" : "", OpType = "Add", Inputs = [product, bias], Outputs = node.Outputs };

    private static bool IsOne(float value) => value.Equals(1f);
}
