using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// Mixed decomposition (Dettmers et al., "LLM.int8()", 2022, section 3.2) with a fixed list of channels, found on calibration data:
/// <code>
/// MatMul(x, w) -> y   =>   Mul(x, mask) -> MatMul(., w without the rows) -> a
///                          Gather(x, channels, axis = -1) -> MatMul(., the rows) -> b
///                          Add(a, b) -> y
/// </code>
/// Blocks of the remaining weight and of activations that a kernel rounds no longer share a scale with an outlier. Exact but for the order of additions; the rows are stored in 16 bits (option <c>format</c>).
/// Activations that several layers read are masked and picked once. Done for MatMul, and Gemm with alpha 1, whose weight is a plain constant that nobody else reads, possibly through Transpose and Cast.
/// </summary>
internal sealed class SplitOutliersPass(PassOptions options, TensorRules rules) : IPass, ICalibratedPass
{
    private readonly TensorSelection _selection = new(options, rules);

    public string Name => "split-outliers";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public IReadOnlyList<CalibrationTap> Taps(Model model) => model.Kind == ModelKind.Onnx ? LinearInputs.Of(model, secondMoments: false) : [];

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model.Graph.Initializers.IsEmpty ? model : throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph that could be run on calibration data: compile the model as .onnx");
        }

        var index = new GraphIndex(model.Graph);
        Layer[] layers = [.. Layers(index, context)];
        if (layers.Length == 0)
        {
            return model;
        }

        if (context.PlanOnly && context.Calibrator is null)
        {
            return model;
        }

        ICalibrator calibrator = context.Calibrator ?? throw new ModelPackException(
            ErrorCodes.CalibrationMissing, "outliers are found on calibration data: give a token file or a folder of .npy inputs with --calibration");
        Dictionary<string, int[]> outliers = Find(model, layers, calibrator, context);
        var editor = new GraphEditor(model.Graph);
        var inputs = new Dictionary<string, (string Regular, string Picked)>(StringComparer.Ordinal);
        int split = 0;
        foreach (Layer layer in layers.Where(l => outliers[l.Activation].Length > 0))
        {
            context.Cancellation.ThrowIfCancellationRequested();
            Split(editor, index, layer, outliers[layer.Activation], inputs, context);
            split++;
        }

        context.Measure("layers_split", split);
        return split == 0 ? model : model with { Graph = DeadCode.Remove(editor.Build()) };
    }

    /// <summary>Outlier channels of every input.</summary>
    private Dictionary<string, int[]> Find(Model model, Layer[] layers, ICalibrator calibrator, PassContext context)
    {
        CalibrationTap[] taps = [.. LinearInputs.Of(model, secondMoments: false).Where(t => layers.Any(l => l.Activation == t.Value))];
        using ICalibrationStatistics statistics = calibrator.Collect(model, taps);
        context.Measure("calibration_vectors", calibrator.Info.Samples);
        var outliers = new Dictionary<string, int[]>(StringComparer.Ordinal);
        foreach (CalibrationTap tap in taps)
        {
            int most = (int)Math.Max(1, tap.Columns * options.Integer("max_permille") / 1000);
            int[] found = OutlierChannels.Find(statistics[tap.Value], options.Integer("threshold"), most);
            outliers.Add(tap.Value, found);
            if (found.Length > 0)
            {
                context.Report(DiagnosticSeverity.Info, $"{found.Length} of {tap.Columns} channels of '{tap.Value}' are outliers");
            }
        }

        return outliers;
    }

    private IEnumerable<Layer> Layers(GraphIndex index, PassContext context)
    {
        var usage = new GraphUsage(index);
        for (int i = 0; i < index.Graph.Nodes.Length; i++)
        {
            Node node = index.Graph.Nodes[i];
            bool linear = node.Is("MatMul") || (node.Is("Gemm") && node.Float("alpha", 1) == 1);
            if (!linear || Constant(index, node.Input(1), out DType seen) is not Tensor weight)
            {
                continue;
            }

            WeightUsage use = usage.Of(weight);
            if (use is not { Refusal: null, Activation: string activation, Layout: WeightLayout.Rows or WeightLayout.Columns } || weight.Shape.Rank != 2)
            {
                continue;
            }

            if (Refusal(weight, use) is string reason)
            {
                context.Report(DiagnosticSeverity.Info, $"not looked at: {reason}", weight.Name);
                continue;
            }

            yield return new Layer(i, weight, use.Layout == WeightLayout.Rows, activation, seen);
        }
    }

    private string? Refusal(Tensor weight, WeightUsage use) =>
        _selection.Refusal(weight.Name) is string named ? named
        : weight.Shape.ElementCount < options.Integer("min_elements") ? $"it has fewer than {options.Integer("min_elements")} elements"
        : use.Role == WeightRole.End && !options.Flag("ends") ? "it is at an end of the network (option 'ends')"
        : null;

    /// <summary>The plain constant behind a value through Transpose, Cast and Identity, where nobody else reads it on the way.</summary>
    /// <param name="index">The graph.</param>
    /// <param name="value">What the layer reads.</param>
    /// <param name="seen">Its element type.</param>
    private static Tensor? Constant(GraphIndex index, string value, out DType seen)
    {
        seen = DType.Undefined;
        while (index.Uses(value).Count == 1 && !index.IsOutput(value))
        {
            if (index.Constant(value) is Tensor tensor)
            {
                seen = seen == DType.Undefined ? tensor.DType : seen;
                bool plain = tensor.DType is DType.F32 or DType.F16 or DType.BF16 && tensor.TryGetRawData(out _);
                return plain && seen is DType.F32 or DType.F16 or DType.BF16 ? tensor : null;
            }

            if (index.Producer(value) is not Node node || !(node.Is("Transpose") || node.Is("Identity") || node.Is("Cast")))
            {
                return null;
            }

            seen = node.Is("Cast") && seen == DType.Undefined ? OnnxTypes.FromNumber(node.Int("to", 0)) : seen;
            value = node.Input(0);
        }

        return null;
    }

    private void Split(GraphEditor editor, GraphIndex index, Layer layer, int[] channels, Dictionary<string, (string Regular, string Picked)> inputs, PassContext context)
    {
        if (!inputs.TryGetValue(layer.Activation, out (string Regular, string Picked) read))
        {
            read = Inputs(editor, index, layer, channels);
            inputs.Add(layer.Activation, read);
        }

        (byte[] rest, byte[] picked) = SplitWeight.Apply(layer.Weight, layer.ChannelsLast, channels);
        editor.ReplaceInitializer(layer.Weight.Name, Tensor.Raw(layer.Weight.Name, layer.Weight.DType, layer.Weight.Shape, context.Keep(rest)));
        long outputs = layer.Weight.Shape[layer.ChannelsLast ? 0 : 1];
        string name = editor.UniqueName($"{layer.Weight.Name}_outliers");
        editor.AddInitializer(Outliers(name, layer, new Shape(channels.Length, outputs), context.Keep(picked)));

        Node node = index.Graph.Nodes[layer.Position];
        string output = node.Outputs[0];
        string regular = editor.UniqueName($"{output}_regular");
        string extra = editor.UniqueName($"{output}_outliers");
        editor.ReplaceNode(
            layer.Position,
            node with { Inputs = node.Inputs.SetItem(0, read.Regular), Outputs = [regular] },
            new Node { Name = $"{node.Handle}_outliers", OpType = "MatMul", Inputs = [read.Picked, name], Outputs = [extra] },
            new Node { OpType = "Add", Inputs = [regular, extra], Outputs = [output] });
    }

    /// <summary>The activations without outliers, and the outliers alone.</summary>
    private (string Regular, string Picked) Inputs(GraphEditor editor, GraphIndex index, Layer layer, int[] channels)
    {
        string value = layer.Activation;
        string list = editor.UniqueName($"{value}_outlier_channels");
        string picked = editor.UniqueName($"{value}_outliers");
        editor.AddInitializer(SmallConstants.Integers(list, new Shape(channels.Length), [.. channels.Select(c => (long)c)]));
        var nodes = new List<Node>
        {
            new() { OpType = "Gather", Inputs = [value, list], Outputs = [picked], Attributes = [new NodeAttribute("axis", new AttributeValue.Int(-1))] },
        };
        string rest = value;
        if (options.Flag("mask"))
        {
            rest = editor.UniqueName($"{value}_regular");
            string mask = editor.UniqueName($"{value}_regular_mask");
            editor.AddInitializer(Mask(mask, layer, channels));
            nodes.Add(new Node { OpType = "Mul", Inputs = [value, mask], Outputs = [rest] });
        }

        if (index.ProducerIndex(value) is >= 0 and int producer)
        {
            editor.InsertAfter(producer, CollectionsMarshal.AsSpan(nodes));
        }
        else
        {
            editor.InsertFirst(CollectionsMarshal.AsSpan(nodes));
        }

        return (rest, picked);
    }

    /// <summary>[K]: 0 for outliers, 1 for all others.</summary>
    private static Tensor Mask(string name, Layer layer, int[] channels)
    {
        var shape = new Shape(layer.Weight.Shape[layer.ChannelsLast ? 1 : 0]);
        int size = layer.Seen.BitsPerElement() / 8;
        byte[] one = layer.Seen switch
        {
            DType.F16 => BitConverter.GetBytes((Half)1),
            DType.BF16 => BitConverter.GetBytes(1f)[2..],
            _ => BitConverter.GetBytes(1f),
        };
        byte[] bytes = new byte[shape.ElementCount * size];
        for (int k = 0; k < shape.ElementCount; k++)
        {
            one.CopyTo(bytes.AsSpan(k * size));
        }

        foreach (int channel in channels)
        {
            bytes.AsSpan(channel * size, size).Clear();
        }

        return Tensor.Raw(name, layer.Seen, shape, TensorData.FromBytes(bytes));
    }

    /// <summary>The rows of the outliers, marked as encoded so that quantize leaves them alone.</summary>
    private Tensor Outliers(string name, Layer layer, Shape shape, TensorData values)
    {
        WeightEncoding source = DenseEncoding.Raw(layer.Weight.DType, shape, values);
        string format = options.Text("format") == "same" || layer.Weight.DType != DType.F32 ? layer.Weight.DType.Name() : options.Text("format");
        return new Tensor { Name = name, DType = layer.Seen, Shape = shape, Encoding = DenseEncoding.Pending(new UnitSpec(format), source) };
    }

    /// <summary>A linear layer.</summary>
    /// <param name="Position">Of its node.</param>
    /// <param name="Weight">Its weight.</param>
    /// <param name="ChannelsLast">The weight is [N, K].</param>
    /// <param name="Activation">What it is multiplied with.</param>
    /// <param name="Seen">The element type that the node sees.</param>
    private sealed record Layer(int Position, Tensor Weight, bool ChannelsLast, string Activation, DType Seen);
}
