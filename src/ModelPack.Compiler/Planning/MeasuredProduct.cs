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

    /// <summary>What is faster than the usual kernel by less is not taken: as much is chance.</summary>
    private const double LeastGain = 0.05;

    /// <summary>The fastest; null without measurements or a profile, or where two of the kernels that may be chosen were not measured.</summary>
    public static NodeChoice? Choose(Node node, Tensor tensor, BlockWeight? block, PlanContext context)
    {
        if (context.Options.Profile is null && context.Options.Times is null)
        {
            return null;
        }

        using MatMulWeight? weight = PackedMatMul.Weight(node, tensor, context);
        bool fast = context.Options.Accuracy == PlanAccuracy.Fast;
        var candidates = new List<(string Kernel, long Bytes, Func<NodeChoice?> Make)>();
        if (weight is not null)
        {
            long bytes = PackedMatrix.Bytes(weight);
            foreach (MatMulArithmetic arithmetic in MatMulArithmetics.All.Where(a => a == MatMulArithmetic.Float || (fast && weight.Has(a))))
            {
                candidates.Add((PackedMatMul.Kernel(weight.Format, arithmetic), bytes, () => PackedMatMul.Choose(node, tensor, weight, arithmetic, context)));
            }
        }

        // Exact products of 8 bits have no fast kernel there: MatMulNBits would expand them.
        if (block is not null && (fast || block.Bits != 8) && MatMulNBits.IsPossible(node, tensor, context))
        {
            candidates.Add((MatMulNBits.Kernel(block, fast ? 4 : 0), block.KernelBytes, () => MatMulNBits.Choose(node, tensor, block, context)));
        }

        if (candidates.Count < 2)
        {
            return null;
        }

        string usual = weight is not null ? PackedMatMul.Kernel(weight.Format, PackedMatMul.Arithmetic(weight, context)) : candidates[^1].Kernel;
        (UnitSpec Format, int Outputs, int Inputs)? shape = weight is null ? null : (weight.Format, weight.Layout.Rows, weight.Layout.Columns);
        return FromTimes(candidates, usual, shape, context) ?? FromProfile(candidates, MatMulNode.Sizes(node, tensor.Shape), context);
    }

    /// <summary>By measurements of these very products: the usual kernel unless another is faster by more than chance.</summary>
    private static NodeChoice? FromTimes(List<(string Kernel, long Bytes, Func<NodeChoice?> Make)> candidates, string usual, (UnitSpec Format, int Outputs, int Inputs)? shape, PlanContext context)
    {
        if (context.Options.Times is not IProductTimes times || shape is not var (format, outputs, inputs))
        {
            return null;
        }

        var measured = new List<(string Kernel, double Seconds, Func<NodeChoice?> Make)>();
        foreach ((string kernel, _, Func<NodeChoice?> make) in candidates)
        {
            if (times.Seconds(new ProductCandidate(kernel, format, outputs, inputs, context.Options.Rows)) is not double seconds)
            {
                return null;
            }

            measured.Add((kernel, seconds, make));
        }

        double least = (1 - LeastGain) * measured.First(m => m.Kernel == usual).Seconds;
        (string Kernel, double Seconds, Func<NodeChoice?> Make)[] ordered = [.. measured.OrderBy(m => m.Kernel == usual ? least : m.Seconds)];
        if (ordered[0].Make() is not NodeChoice choice)
        {
            return null;
        }

        times.Chosen(ordered[0].Kernel, usual);
        return WithRatios(choice, [.. ordered.Select(m => (m.Kernel, m.Seconds))], string.Create(CultureInfo.InvariantCulture, $"measured here with {context.Options.Rows} rows of activations"));
    }

    /// <summary>By what a profile predicts.</summary>
    private static NodeChoice? FromProfile(List<(string Kernel, long Bytes, Func<NodeChoice?> Make)> candidates, (long Outputs, long Inputs) sizes, PlanContext context)
    {
        if (context.Options.Profile is not HardwareProfile profile)
        {
            return null;
        }

        (string Kernel, double Seconds, Func<NodeChoice?> Make)[] costs =
        [
            .. candidates.Where(c => CostModel.Knows(profile, c.Kernel))
                .Select(c => (c.Kernel, CostModel.Product(profile, c.Kernel, sizes.Outputs, sizes.Inputs, c.Bytes, context.Options.Rows, 0, context.WeightBytes).Seconds, c.Make))
                .OrderBy(c => c.Seconds),
        ];
        return costs.Length < 2 || costs[0].Make() is not NodeChoice choice
            ? null
            : WithRatios(choice, [.. costs.Select(c => (c.Kernel, c.Seconds))], $"on {profile.Name}, predicted from its measurements");
    }

    /// <summary>What measurements say replaces what is said of most machines.</summary>
    private static NodeChoice WithRatios(NodeChoice choice, (string Kernel, double Seconds)[] costs, string source)
    {
        HashSet<string> measured = [.. costs.Select(c => c.Kernel)];
        return choice with
        {
            Alternatives =
            [
                .. costs.Skip(1).Select(c => new RejectedKernel(c.Kernel, string.Create(CultureInfo.InvariantCulture, $"{c.Seconds / costs[0].Seconds:0.00} times the time {source}"))),
                .. choice.Alternatives.Where(a => !measured.Contains(a.Kernel)),
            ],
        };
    }
}
