using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Fixes the sizes of graph inputs, and with them everything that Shape and Size say: these become constants, so that fold-constants can take out what computes with them. Their values come from one run of the
/// model on zeros; what lies behind operators whose output sizes depend on data (NonZero, loops, ...) is left as it is.
/// </summary>
internal sealed class StaticShapesPass(PassOptions options) : IPass
{
    /// <summary>Operators of whose outputs the inputs' sizes do not say the sizes.</summary>
    private static readonly HashSet<string> DependOnData = new(StringComparer.Ordinal)
    {
        "NonZero", "NonMaxSuppression", "Unique", "Compress", "If", "Loop", "Scan", "RandomNormal", "RandomUniform", "Multinomial", "StringSplit", "SequenceAt", "OptionalGetElement",
    };

    private readonly ImmutableArray<string> _shapes = options.Texts("shapes");

    public string Name => "static-shapes";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model;
        }

        model = _shapes.IsEmpty ? model : model with { Graph = Fixed(model.Graph) };
        ValueInfo[] data = [.. model.Graph.FreeInputs()];
        bool isStatic = data.All(i => i.Type.IsTensor && i.Type.DType.HasFixedWidth() && !i.Type.Dims.IsDefault && i.Type.Dims.All(d => d.Value is > 0));
        return isStatic && data.Length > 0 ? WithConstants(model, data, context) : model;
    }

    /// <summary>The graph with the sizes of the option.</summary>
    /// <exception cref="ModelPackException">MP2004: a size that cannot be read, names no input, or contradicts the model.</exception>
    private Graph Fixed(Graph graph)
    {
        foreach (string text in _shapes)
        {
            int equals = text.LastIndexOf('=');
            ValueInfo[] candidates = equals < 0 ? [.. graph.FreeInputs()] : [.. graph.Inputs.Where(i => i.Name == text[..equals])];
            long[]? sizes = Sizes(text[(equals + 1)..]);
            if (sizes is null)
            {
                throw Bad($"'{text}' is no shape: write input=1x3x48x320");
            }

            if (candidates is not [ValueInfo input])
            {
                throw Bad($"'{text}' {(equals < 0 ? "does not say which input it is for" : "names no input")}: the model has {string.Join(", ", graph.FreeInputs().Select(Describe))}");
            }

            bool fits = input.Type.IsTensor && (input.Type.Dims.IsDefault || (input.Type.Dims.Length == sizes.Length && input.Type.Dims.Zip(sizes).All(p => p.First.Value is null || p.First.Value == p.Second)));
            if (!fits)
            {
                throw Bad($"'{text}' does not fit {Describe(input)}");
            }

            ValueInfo sized = input with { Type = input.Type with { Dims = [.. sizes.Select(s => new Dimension(s))] } };
            graph = graph with { Inputs = graph.Inputs.Replace(input, sized) };
        }

        return graph;
    }

    private static Model WithConstants(Model model, ValueInfo[] inputs, PassContext context)
    {
        Graph graph = model.Graph;
        (int Position, string Value)[] wanted = [.. Computed(graph)];
        if (context.ConstantEvaluator is not IConstantEvaluator evaluator || (wanted.Length == 0 && graph.Outputs.All(IsFixed)))
        {
            return model;
        }

        var outputs = graph.Outputs.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        wanted = [.. wanted.Where(w => !outputs.Contains(w.Value))];
        string[] names = [.. wanted.Select(w => w.Value), .. outputs];
        Tensor[] zeros = [.. inputs.Select(Zeros)];
        if (evaluator.Evaluate(model, graph.Nodes, [.. graph.Initializers, .. zeros], names) is not IReadOnlyList<Tensor> values)
        {
            context.Report(DiagnosticSeverity.Warning, "ONNX Runtime cannot run the model on zeros: shapes are still computed at run time");
            return model;
        }

        var editor = new GraphEditor(graph);
        Dictionary<string, Tensor> byName = values.ToDictionary(v => v.Name, StringComparer.Ordinal);
        foreach ((int position, string value) in wanted)
        {
            editor.RemoveNode(position);
            editor.AddInitializer(byName[value]);
        }

        context.Measure("shapes_fixed", wanted.Length);
        bool certain = !graph.Nodes.Any(n => DependOnData.Contains(n.OpType));
        Graph built = editor.Build();
        return model with
        {
            Graph = DeadCode.Remove(built with
            {
                Outputs = certain ? [.. built.Outputs.Select(o => IsFixed(o) || !o.Type.IsTensor ? o : o with { Type = o.Type with { Dims = [.. byName[o.Name].Shape.Dims.Select(d => new Dimension(d))] } })] : built.Outputs,
                ValueInfos = [.. built.ValueInfos.Where(IsFixed)],
            }),
        };
    }

    /// <summary>Shape and Size nodes of values whose sizes follow from those of the inputs.</summary>
    private static IEnumerable<(int Position, string Value)> Computed(Graph graph)
    {
        var uncertain = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            if (DependOnData.Contains(node.OpType) || node.Domain is not ("" or "com.microsoft") || node.Inputs.Any(uncertain.Contains))
            {
                uncertain.UnionWith(node.Outputs.Where(o => o.Length > 0));
            }
            else if (node.Is("Shape") || node.Is("Size"))
            {
                yield return (i, node.Outputs[0]);
            }
        }
    }

    private static Tensor Zeros(ValueInfo input)
    {
        var shape = new Shape([.. input.Type.Dims.Select(d => d.Value!.Value)]);
        return Tensor.Raw(input.Name, input.Type.DType, shape, TensorData.FromBytes(new byte[input.Type.DType.StorageBytes(shape.ElementCount)]));
    }

    private static bool IsFixed(ValueInfo value) => value.Type.IsTensor && !value.Type.Dims.IsDefault && value.Type.Dims.All(d => d.Value is not null);

    private static long[]? Sizes(string text)
    {
        string[] parts = text.Split('x');
        long[] sizes = new long[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!long.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out sizes[i]) || sizes[i] is < 1 or > int.MaxValue)
            {
                return null;
            }
        }

        return sizes;
    }

    private static string Describe(ValueInfo input) =>
        $"{input.Name}[{(input.Type.Dims.IsDefault ? "?" : string.Join('x', input.Type.Dims.Select(d => d.Value?.ToString(CultureInfo.InvariantCulture) ?? d.Symbol ?? "?")))}]";

    private static ModelPackException Bad(string message) => new(ErrorCodes.BadPassOption, $"option 'static-shapes.shapes': {message}");
}
