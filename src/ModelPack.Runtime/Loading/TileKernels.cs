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
        var rounded = new Dictionary<string, MatMulArithmetic>(StringComparer.Ordinal);
        foreach (PlannedNode node in plan.Nodes)
        {
            foreach (MatMulArithmetic arithmetic in MatMulArithmetics.All)
            {
                if (arithmetic != MatMulArithmetic.Float && node.Kernel.EndsWith($",{arithmetic.Name()})", StringComparison.Ordinal))
                {
                    rounded[node.Tensor] = arithmetic;
                }
            }
        }

        foreach (InitializerBinding binding in plan.Bindings)
        {
            if (binding.Role == InitializerBinding.Tiles && source.Find(binding.Tensor)?.Matrix is DenseEncoding matrix)
            {
                using MatMulWeight? weight = MatMulWeight.TryCreate(matrix);
                MatMulArithmetic arithmetic = rounded.GetValueOrDefault(binding.Tensor, MatMulArithmetic.Float);
                if (weight is not null && weight.Has(arithmetic))
                {
                    _ = KernelWarmUp.Begin(weight, arithmetic);
                }
            }
        }
    }
}
