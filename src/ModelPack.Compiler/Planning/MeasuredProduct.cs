using System.Globalization;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>Chooses between the kernels of a product by what a hardware profile measured of them.</summary>
internal static class MeasuredProduct
{
    /// <summary>Bytes of a weight about as a kernel reads it.</summary>
    public static long Bytes(Tensor tensor)
    {
        using MatMulWeight? weight = PackedMatMul.Weight(tensor);
        return weight is not null ? PackedMatrix.Bytes(weight) : tensor.DType.HasFixedWidth() ? tensor.DType.StorageBytes(tensor.Shape.ElementCount) : 0;
    }

    /// <summary>The fastest; null without a profile, or where it did not measure two of the kernels that may be chosen.</summary>
    public static NodeChoice? Choose(Node node, Tensor tensor, BlockWeight? block, PlanContext context)
    {
        if (context.Options.Profile is not HardwareProfile profile)
        {
            return null;
        }

        using MatMulWeight? weight = PackedMatMul.Weight(node, tensor, context);
        bool fast = context.Options.Accuracy == PlanAccuracy.Fast;
        var candidates = new List<(string Kernel, long Bytes, Func<NodeChoice?> Make)>();
        if (weight is not null)
        {
            long bytes = PackedMatrix.Bytes(weight);
            candidates.Add((PackedMatMul.Kernel(weight.Format, false), bytes, () => PackedMatMul.Choose(node, tensor, weight, false, context)));
            if (fast && weight.HasIntegerKernel)
            {
                candidates.Add((PackedMatMul.Kernel(weight.Format, true), bytes, () => PackedMatMul.Choose(node, tensor, weight, true, context)));
            }
        }

        // Exact products of 8 bits have no fast kernel there: MatMulNBits would expand them.
        if (block is not null && (fast || block.Bits != 8) && MatMulNBits.IsPossible(node, tensor, context))
        {
            candidates.Add((MatMulNBits.Kernel(block, fast ? 4 : 0), block.KernelBytes, () => MatMulNBits.Choose(node, tensor, block, context)));
        }

        (string Kernel, double Seconds, Func<NodeChoice?> Make)[] costs =
        [
            .. candidates.Where(c => CostModel.Knows(profile, c.Kernel))
                .Select(c => (c.Kernel, CostModel.Product(profile, c.Kernel, tensor.Shape.ElementCount, 1, c.Bytes, context.Options.Rows, 0, context.WeightBytes).Seconds, c.Make))
                .OrderBy(c => c.Seconds),
        ];
        if (costs.Length < 2 || costs[0].Make() is not NodeChoice choice)
        {
            return null;
        }

        // What the measurement says replaces what is said of most machines.
        HashSet<string> measured = [.. costs.Select(c => c.Kernel)];
        return choice with
        {
            Alternatives =
            [
                .. costs.Skip(1).Select(c => new RejectedKernel(c.Kernel, string.Create(CultureInfo.InvariantCulture, $"{c.Seconds / costs[0].Seconds:0.00} times the time on {profile.Name}, predicted from its measurements"))),
                .. choice.Alternatives.Where(a => !measured.Contains(a.Kernel)),
            ],
        };
    }
}
