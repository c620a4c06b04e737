using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Gated perceptrons of planned products with block-sparse weights, as <c>ai.modelpack::GatedMlp</c>:
/// <code>
/// g = PackedMatMul(x, G)   u = PackedMatMul(x, U)   h = Mul(f(g), u)   y = PackedMatMul(h, D)    ->    y = GatedMlp(x, G, U, D)
/// </code>
/// f(g) is Mul(g, Sigmoid(g)), Relu(g) or Gelu(g). Where something else reads h, or D is no such weight, the operator gives h.
/// </summary>
/// <remarks>
/// Where: times as fast as the same products with ONNX Runtime's Sigmoid and Mul between them, by <c>modelpack bench kernels --gated --sparsity 90</c>, f32 in blocks of 32 x 32, both taking turns, each after a run on as many
/// threads; AMD EPYC (family 26 model 2) with AVX-512, everything else stopped, 2026-11-30.
/// <code>
///                          one thread                      two threads
/// K, N                     M = 1   M = 16   M = 128        M = 1   M = 16   M = 128
/// 256, 768     235 kB      1.20    1.05     1.07           1.22    1.09     1.43
/// 1024, 2816   3.5 MB      1.02    1.01     1.00           1.03    1.31     1.43
/// 2048, 5632   14 MB       1.02    0.98     1.04           1.08    1.27     1.31
/// 3072, 8192   30 MB       1.01                            1.10
/// 4096, 11008  54 MB       0.99    1.09     1.03           1.09    1.27     1.15
/// </code>
/// Profiles of machines hold such measurements of their own (<see cref="HardwareProfile.GatedMlps"/>), and the nearest decides. One measurement each; others of one place differ by up to 0.05 on one thread. On one thread there is no more to gain than the operators between: reading the weights or multiplying takes the rest, which is the same. On two threads
/// there are fewer hand-overs, and h is made by both where it is read. Earlier figures of two threads came after a run on one, whose caches held everything (M = 1: 0.95 to 1.12); what is larger was not measured.
/// </remarks>
internal sealed class GatedMlp
{
    /// <summary>Bytes of all weights of a perceptron beyond which nothing was measured: the limit where the profile of the machine does not say more.</summary>
    private const long MostBytes = 64 << 20;

    private readonly IReadOnlyList<Node> _nodes;
    private readonly HashSet<string> _sparseTiles;
    private readonly NodeUses _uses;

    private GatedMlp(IReadOnlyList<Node> nodes, Graph graph, HashSet<string> sparseTiles)
    {
        _nodes = nodes;
        _sparseTiles = sparseTiles;
        _uses = new NodeUses(nodes, graph);
    }

    /// <summary>Replaces all that there are.</summary>
    /// <param name="nodes">Nodes of the execution graph, in order.</param>
    /// <param name="planned">What was chosen for weights; those of fused ones say so.</param>
    /// <param name="context">The plan.</param>
    /// <returns>The nodes.</returns>
    public static ImmutableArray<Node> Fuse(ImmutableArray<Node> nodes, ImmutableArray<PlannedNode>.Builder planned, PlanContext context)
    {
        if (context.SparseTiles.Count < 2)
        {
            return nodes;
        }

        var graph = new GatedMlp(nodes, context.Model.Graph, context.SparseTiles);
        var gone = new HashSet<int>();
        var replaced = new Dictionary<int, Node>();
        for (int i = 0; i < nodes.Length; i++)
        {
            if (graph.Match(i) is not Found found)
            {
                continue;
            }

            if (WhyNot(Bytes(found, nodes, context), context.Options) is string reason)
            {
                Note(found, nodes, planned, context, node => node with { Alternatives = [.. node.Alternatives, new RejectedKernel($"modelpack:GatedMlp({found.Activation})", reason)] });
            }
            else
            {
                gone.UnionWith(found.Nodes);
                replaced.Add(found.Nodes.Max(), graph.Build(found));
                Note(found, nodes, planned, context, node => node with { Kernel = $"{node.Kernel} in GatedMlp({found.Activation})" });
            }
        }

        return gone.Count == 0 ? nodes : [.. nodes.Select((node, i) => replaced.GetValueOrDefault(i, node)).Where((_, i) => !gone.Contains(i) || replaced.ContainsKey(i))];
    }

    /// <summary>Initializers with the weights of a perceptron.</summary>
    private static HashSet<string> Tiles(Found found, ImmutableArray<Node> nodes) => [.. found.Nodes.Select(i => nodes[i]).Where(PackedMatMul.Is).Select(n => n.Inputs[1])];

    private static long Bytes(Found found, ImmutableArray<Node> nodes, PlanContext context)
    {
        HashSet<string> tiles = Tiles(found, nodes);
        return context.Streams.Bindings.Where(b => tiles.Contains(b.Initializer)).Sum(b => b.DType.StorageBytes(b.Shape.ElementCount));
    }

    /// <summary>Why a perceptron stays as its products; null when the operator is faster: by the nearest measurement of the machine, where there is one.</summary>
    private static string? WhyNot(long bytes, PlanOptions options)
    {
        double Distance(GatedMlpConstant measured) =>
            Math.Abs(Logarithm(bytes) - Logarithm(measured.Bytes)) + Math.Abs(Logarithm(options.Rows) - Logarithm(measured.Rows));

        if (options.Profile is HardwareProfile profile && profile.GatedMlps.MinBy(Distance) is GatedMlpConstant nearest)
        {
            return nearest.Ratio.All < 1
                ? null
                : string.Create(CultureInfo.InvariantCulture, $"{nearest.Ratio.All:0.00} times the time of the products on {profile.Name}, measured with {nearest.Rows} rows of activations and {nearest.Bytes} bytes of weights");
        }

        return bytes <= MostBytes ? null : $"nothing was measured with more than {MostBytes} bytes of weights";
    }

    /// <summary>To base 2, in 64ths: the bits of a number are enough to tell what is near, and the same on every machine.</summary>
    private static long Logarithm(long value)
    {
        ulong at = (ulong)Math.Max(1, value);
        int exponent = System.Numerics.BitOperations.Log2(at);
        return (64L * exponent) + (long)(((UInt128)(at - (1UL << exponent)) * 64) >> exponent);
    }

    private static void Note(Found found, ImmutableArray<Node> nodes, ImmutableArray<PlannedNode>.Builder planned, PlanContext context, Func<PlannedNode, PlannedNode> note)
    {
        HashSet<string> tiles = Tiles(found, nodes);
        HashSet<string> weights = [.. context.Streams.Bindings.Where(b => tiles.Contains(b.Initializer)).Select(b => b.Tensor)];
        for (int i = 0; i < planned.Count; i++)
        {
            if (weights.Contains(planned[i].Tensor) && planned[i].Kernel.StartsWith(SparseMatMul.Name, StringComparison.Ordinal))
            {
                planned[i] = note(planned[i]);
            }
        }
    }

    /// <summary>The perceptron whose h is made by a node.</summary>
    private Found? Match(int product)
    {
        if (!_nodes[product].Is("Mul"))
        {
            return null;
        }

        foreach ((string activated, string other) in new[] { (_nodes[product].Input(0), _nodes[product].Input(1)), (_nodes[product].Input(1), _nodes[product].Input(0)) })
        {
            if (Product(other, users: 1) is int up && _uses.Producer(activated, users: 1) is not null && _uses.Activation(activated, IsProduct) is (string activation, int gate, int[] between) && activation != "hardswish"
                && _nodes[up].Inputs[0] == _nodes[gate].Inputs[0] && _nodes[up].Int("N", 0) == _nodes[gate].Int("N", 0) && up != gate)
            {
                string h = _nodes[product].Outputs[0];
                int down = _uses.Of(h) is [>= 0 and var only] && _nodes[only].Input(0) == h && IsProduct(_nodes[only]) ? only : -1;
                return new Found(activation, gate, up, down, product, [gate, up, product, .. between, .. down < 0 ? Array.Empty<int>() : [down]]);
            }
        }

        return null;
    }

    private int? Product(string value, int users) => _uses.Producer(value, users) is int at && IsProduct(_nodes[at]) ? at : null;

    private bool IsProduct(Node node) => PackedMatMul.Is(node) && node.Inputs.Length == 2 && _sparseTiles.Contains(node.Inputs[1]);

    private Node Build(Found found)
    {
        Node last = _nodes[found.Down < 0 ? found.Product : found.Down];
        string[] weights = [_nodes[found.Gate].Inputs[1], _nodes[found.Up].Inputs[1], .. found.Down < 0 ? Array.Empty<string>() : [_nodes[found.Down].Inputs[1]]];
        return new Node
        {
            Name = last.Name,
            OpType = "GatedMlp",
            Domain = PackedMatMul.Domain,
            Inputs = [_nodes[found.Gate].Inputs[0], .. weights],
            Outputs = last.Outputs,
            Attributes =
            [
                new NodeAttribute("N", new AttributeValue.Int(_nodes[found.Down < 0 ? found.Gate : found.Down].Int("N", 0))),
                new NodeAttribute("activation", new AttributeValue.Text(found.Activation)),
                new NodeAttribute("weights", new AttributeValue.Int(weights.Length)),
            ],
        };
    }

    /// <summary>A perceptron.</summary>
    /// <param name="Activation">f.</param>
    /// <param name="Gate">Position of the product with G.</param>
    /// <param name="Up">Position of the product with U.</param>
    /// <param name="Down">Position of the product with D; -1 without.</param>
    /// <param name="Product">Position of the node that makes h.</param>
    /// <param name="Nodes">All positions.</param>
    private sealed record Found(string Activation, int Gate, int Up, int Down, int Product, int[] Nodes);
}
