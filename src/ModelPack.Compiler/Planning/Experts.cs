using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Mixtures of experts whose weights are read packed, as <c>ai.modelpack::Experts</c>, which visits only the experts that a row chose:
/// <code>
/// y = sum over e of expert_e(x[rows that chose e]) * shares[those rows, e]    ->    y = Experts(x, shares, G_0, U_0, D_0, G_1, ...)
/// </code>
/// Weights keep formats of their own; the router stays as it is.
/// </summary>
/// <remarks>
/// Where: wherever all weights are dense and packed. It was faster than the products, or within what repeats (32.6 : 31.4 in one case): milliseconds of router and experts together at 1 / 128 rows, int4 in blocks of 32, exact, beside ONNX Runtime's QMoE (1.31.1, level 0) on the same
/// decoded weights, the best of up to 300 runs of one process; AMD EPYC (family 26 model 2) with AVX-512, everything else stopped, 2026-11-30.
/// <code>
/// experts, per row, K, hidden   threads   as products     as one operator   QMoE
/// 8, 2, 512, 1024               1         0.134 / 10.3    0.100 / 5.9       0.159 / 9.0
///                               2         0.112 / 4.0     0.073 / 2.9       0.089 / 4.4
/// 8, 2, 1024, 2816              1         0.457 / 31.4    0.409 / 32.6      0.832 / 51.5
///                               2         0.268 / 17.9    0.221 / 17.0      0.424 / 21.3
/// 64, 8, 512, 192               1         0.381 / 10.9    0.134 / 6.9       0.129 / 9.0
///                               2         0.335 / 7.1     0.074 / 3.5       0.077 / 4.6
/// </code>
/// </remarks>
public static class Experts
{
    private const string Operator = " in Experts(";

    /// <summary>Share of its rows that a weight of a plan is multiplied with, and of the experts that a row visits; 1 for weights that are no expert's.</summary>
    /// <param name="kernel">The kernel as plans name it.</param>
    public static double Visited(string kernel)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        int at = kernel.IndexOf(Operator, StringComparison.Ordinal);
        return at >= 0 && kernel[(at + Operator.Length)..].TrimEnd(')').Split(',') is [_, var share] && share.Split('/') is [var chosen, var all]
            && int.TryParse(chosen, CultureInfo.InvariantCulture, out int k) && int.TryParse(all, CultureInfo.InvariantCulture, out int n) && k > 0 && k <= n ? (double)k / n : 1;
    }

    /// <summary>What takes the place of nodes: a node, or null for one that is gone.</summary>
    /// <param name="weights">What is planned, by name.</param>
    /// <param name="context">The plan.</param>
    /// <param name="planned">Gets the weights of those that are taken.</param>
    /// <param name="declined">Gets, by weight, why others are not.</param>
    /// <param name="replaced">Gets what takes the place of nodes.</param>
    internal static void Take(
        Dictionary<string, Tensor> weights, PlanContext context, ImmutableArray<PlannedNode>.Builder planned, Dictionary<string, RejectedKernel> declined, Dictionary<int, Node?> replaced)
    {
        foreach (ExpertMixture found in ExpertMixture.Find(context.Index))
        {
            Node[] products = [.. found.Experts.SelectMany(e => new[] { e.GateProduct, e.UpProduct, e.DownProduct }).Select(i => context.Model.Graph.Nodes[i])];
            string suffix = string.Create(CultureInfo.InvariantCulture, $"{Operator[4..]}{found.Activation},{(found.PerRow > 0 ? found.PerRow : found.Experts.Length)}/{found.Experts.Length})");
            if (WhyNot(products, weights, context) is string reason)
            {
                foreach (string name in products.Select(p => p.Input(1)))
                {
                    declined[name] = new RejectedKernel($"modelpack:{suffix}", reason);
                }

                continue;
            }

            NodeChoice[] choices = [.. products.Select(p => Choose(p, weights[p.Input(1)], context))];
            foreach ((Node product, NodeChoice choice) in products.Zip(choices))
            {
                Tensor tensor = weights[product.Input(1)];
                RejectedKernel? elsewhere = AcceleratorKernels.Named(product, tensor, context);
                RejectedKernel alone = new(choice.Kernel, "a node for every expert, chosen or not, with 12 more around its products");
                planned.Add(new PlannedNode(product.Handle, product.OpType, $"{choice.Kernel} in {suffix}", tensor.Name, [.. elsewhere is null ? [] : new[] { elsewhere }, alone, .. choice.Alternatives]));
            }

            foreach (int gone in found.Nodes)
            {
                replaced[gone] = null;
            }

            replaced[found.Last] = Build(found, choices, context);
        }
    }

    private static string? WhyNot(Node[] products, Dictionary<string, Tensor> weights, PlanContext context)
    {
        if (context.Options.StockOperators)
        {
            return "operators of ONNX Runtime only were asked for";
        }

        foreach (Node product in products)
        {
            string name = product.Input(1);
            if (!weights.TryGetValue(name, out Tensor? tensor))
            {
                return $"reads packed weights only, and '{name}' is plain numbers";
            }

            using MatMulWeight? weight = PackedMatMul.Weight(product, tensor, context);
            if (weight is null)
            {
                return PackedMatMul.IsKept(tensor, context)
                    ? "adds in another order than dense weights are multiplied in: plan with accuracy 'exact' to use it"
                    : $"reads dense packed weights only, and '{name}' is {UnitSpec.Shorten(tensor.Encoding.Describe())}";
            }
        }

        return null;
    }

    private static NodeChoice Choose(Node product, Tensor tensor, PlanContext context)
    {
        using MatMulWeight weight = PackedMatMul.Weight(product, tensor, context)!;
        return PackedMatMul.Choose(product, tensor, weight, PackedMatMul.Arithmetic(weight, context), context);
    }

    private static Node Build(ExpertMixture found, NodeChoice[] choices, PlanContext context)
    {
        Node last = context.Model.Graph.Nodes[found.Last];
        string[] arithmetics = [.. choices.Select(c => c.Replacement[0].Attribute("arithmetic")!.ToString()!)];
        return new Node
        {
            Name = last.Name,
            OpType = "Experts",
            Domain = PackedMatMul.Domain,
            Inputs = [found.Input, found.Shares, .. choices.Select(c => c.Replacement[0].Inputs[1])],
            Outputs = last.Outputs,
            Attributes =
            [
                new NodeAttribute("N", new AttributeValue.Int(choices[^1].Replacement[0].Int("N", 0))),
                new NodeAttribute("activation", new AttributeValue.Text(found.Activation)),
                new NodeAttribute("arithmetic", new AttributeValue.Text(arithmetics.Distinct().Count() == 1 ? arithmetics[0] : string.Join(',', arithmetics))),
                new NodeAttribute("experts", new AttributeValue.Int(found.Experts.Length)),
            ],
        };
    }
}
