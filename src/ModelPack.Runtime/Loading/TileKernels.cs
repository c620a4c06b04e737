using ModelPack.Kernels.MatMul;
using ModelPack.OrtOps;

namespace ModelPack.Runtime.Loading;

/// <summary>The kernels that matrices in execution layout will need.</summary>
internal static class TileKernels
{
    /// <summary>Has them compiled on threads of the pool: while ONNX Runtime's library is loaded one processor of two has little else to do.</summary>
    /// <param name="plan">Says what activations are rounded to.</param>
    /// <param name="source">Has the matrices.</param>
    public static void WarmUp(ExecutionPlan plan, IWeightSource source)
    {
        var integer = new HashSet<string>(StringComparer.Ordinal);
        foreach (PlannedNode node in plan.Nodes)
        {
            if (node.Kernel.EndsWith(",int8)", StringComparison.Ordinal))
            {
                integer.Add(node.Tensor);
            }
        }

        foreach (InitializerBinding binding in plan.Bindings)
        {
            if (binding.Role == InitializerBinding.Tiles && source.Find(binding.Tensor)?.Matrix is DenseEncoding matrix)
            {
                using MatMulWeight? weight = TileJob.Weight(matrix);
                bool rounds = integer.Contains(binding.Tensor);
                if (weight is not null && (!rounds || weight.HasIntegerKernel))
                {
                    _ = KernelWarmUp.Begin(weight, rounds ? MatMulArithmetic.Integer : MatMulArithmetic.Float);
                }
            }
        }
    }
}
