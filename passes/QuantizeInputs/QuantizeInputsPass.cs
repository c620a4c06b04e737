using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// Rounds the activations that MatMul, Gemm and Conv with constant weights read (<see cref="InputRounding"/>); weights are left to <c>quantize</c>. Unlike <see cref="QuantizeActivationsPass"/> results stay float, so
/// every layer is changed by itself. With 8-bit floats, ONNX Runtime rounds and the products are those of f32, exact for what was rounded; with 8-bit integers and weights stored as int8 rows the products are ONNX
/// Runtime's MatMulIntegerToFloat.
/// </summary>
/// <remarks>
/// FP8 as in Lee et al., "Faster Inference of LLMs using FP8 on the Intel Gaudi", 2025, section 3 (per tensor with a backoff, or per row), and Kim et al., "An Investigation of FP8 Across Accelerators", 2025.
/// </remarks>
internal sealed class QuantizeInputsPass(PassOptions options, TensorRules rules) : IPass, ICalibratedPass
{
    private readonly TensorSelection _selection = new(options, rules);
    private readonly bool _isInteger = options.Text("format") == InputRounding.Int8;
    private readonly string _scales = options.Text("scales");

    public string Name => "quantize-inputs";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public IReadOnlyList<CalibrationTap> Taps(Model model) => model.Kind == ModelKind.Onnx && _scales == "static" ? Taps(Readers(model, null)) : [];

    public Model Run(Model model, PassContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        if (_isInteger && _scales != "tensor")
        {
            throw new ModelPackException(ErrorCodes.BadPassOption, $"quantize-inputs: format int8 goes with scales=tensor, not {_scales}: static 8-bit integers are made by pass 'quantize-activations'");
        }

        if (model.Kind != ModelKind.Onnx)
        {
            return model.Graph.Initializers.IsEmpty ? model : throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph whose activations could be rounded: compile the model as .onnx, or take the pass 'quantize-inputs' out of the recipe");
        }

        Reader[] readers = Readers(model, context);
        if (readers.Length == 0 || (context.PlanOnly && context.Calibrator is null && _scales == "static"))
        {
            return model;
        }

        long opset = _isInteger ? InputRounding.IntegerOpset : InputRounding.FloatOpset;
        if (OpsetUpgrade.Apply(model, opset, out string obstacle) is not Model upgraded)
        {
            context.Report(DiagnosticSeverity.Warning, $"activations stay as they are: {options.Text("format")} needs operator set {opset}, to which {obstacle} cannot be brought");
            return model;
        }

        Dictionary<string, float> scales = _scales == "static" ? StaticScales(model, readers, context) : [];
        var editor = new GraphEditor(upgraded.Graph);
        var rounding = new InputRounding(editor, new GraphIndex(upgraded.Graph), options.Text("format"));
        foreach (Reader reader in readers)
        {
            Rewrite(editor, upgraded.Graph.Nodes[reader.Position], reader, rounding, scales);
        }

        context.Measure("inputs_rounded", readers.Select(r => r.Value).Distinct(StringComparer.Ordinal).Count());
        context.Measure("layers", readers.Length);
        return upgraded with { Graph = editor.Build() };
    }

    private void Rewrite(GraphEditor editor, Node node, Reader reader, InputRounding rounding, Dictionary<string, float> scales)
    {
        string rounded = _scales switch
        {
            "static" => rounding.Static(reader.Value, scales[reader.Value]),
            "tensor" => rounding.PerTensor(reader.Value),
            _ => rounding.PerRow(reader.Value, reader.SampleAxes),
        };
        Node reads = node with { Inputs = node.Inputs.SetItem(0, rounded) };
        if (!_isInteger || !node.Is("Gemm") || node.Input(2).Length == 0)
        {
            editor.ReplaceNode(reader.Position, reads);
            return;
        }

        // ONNX Runtime's integer product adds a bias of integers only, whose unit would change from run to run.
        string product = editor.UniqueName($"{node.Outputs[0]}_product");
        editor.ReplaceNode(
            reader.Position,
            reads with { Inputs = [rounded, node.Inputs[1]], Outputs = [product] },
            new Node { Name = $"{node.Handle}_bias", OpType = "Add", Inputs = [product, node.Inputs[2]], Outputs = [node.Outputs[0]] });
    }

    /// <summary>The nodes whose input is rounded, in graph order.</summary>
    private Reader[] Readers(Model model, PassContext? context)
    {
        var index = new GraphIndex(model.Graph);
        HashSet<Node> ends = options.Flag("ends") ? [] : FirstAndLast.Find(index, index);
        var readers = new List<Reader>();
        for (int i = 0; i < model.Graph.Nodes.Length; i++)
        {
            Node node = model.Graph.Nodes[i];
            if (Weight(index, node) is not Tensor weight || InputRounding.IsRounded(index, node.Input(0)))
            {
                continue;
            }

            if (Refusal(index, node, weight, ends) is string reason)
            {
                context?.Report(DiagnosticSeverity.Info, $"the input of {node.OpType} '{node.Handle}' is not rounded: {reason}", weight.Name);
                continue;
            }

            readers.Add(new Reader(i, node.Input(0), node.Is("Conv") ? weight.Shape.Rank - 1 : 0));
        }

        return [.. readers];
    }

    private static Tensor? Weight(GraphIndex index, Node node) =>
        node.Is("Conv") ? (index.Initializer(node.Input(0)) is null && index.Constant(node.Input(1)) is Tensor { Shape.Rank: >= 3 } filters ? filters : null) : LinearNode.Weight(index, node);

    private string? Refusal(GraphIndex index, Node node, Tensor weight, HashSet<Node> ends) => true switch
    {
        _ when weight.DType != DType.F32 => $"it is {weight.DType.Name()}, not f32",
        _ when _selection.Refusal(weight.Name) is string named => named,
        _ when ends.Contains(node) => "it is at an end of the network (option 'ends')",
        _ when _isInteger && node.Is("Conv") => "ONNX Runtime has no convolution of integers that gives floats",
        _ when _isInteger && node.Is("Gemm") && !HasPlainBias(index, node) => "Gemm with factors, or a bias that is not one number per output",
        _ => null,
    };

    private static bool HasPlainBias(GraphIndex index, Node node) =>
        node.Float("alpha", 1) == 1 && (node.Input(2).Length == 0 || (node.Float("beta", 1) == 1 && index.Constant(node.Input(2)) is { Shape.Rank: 1 }));

    private static CalibrationTap[] Taps(Reader[] readers) =>
        [.. readers.Select(r => r.Value).Distinct(StringComparer.Ordinal).Select(v => new CalibrationTap(v, 1, SecondMoments: false))];

    /// <summary>Scales by the largest magnitude on the calibration data.</summary>
    private Dictionary<string, float> StaticScales(Model model, Reader[] readers, PassContext context)
    {
        ICalibrator calibrator = context.Calibrator ?? throw new ModelPackException(
            ErrorCodes.CalibrationMissing, "static scales of activations need calibration data: give a token file, a folder of .npy inputs or statistics of 'modelpack calibrate' with --calibration, or set quantize-inputs.scales=row");
        var scales = new Dictionary<string, float>(StringComparer.Ordinal);
        CalibrationTap[] taps = Taps(readers);
        using ICalibrationStatistics all = calibrator.Collect(model, taps);
        context.Measure("calibration_vectors", calibrator.Info.Samples);
        foreach (CalibrationTap tap in taps)
        {
            (double low, double high) = all[tap.Value].Rows == 0 ? (0, 0) : ActivationRange.Extremes(all[tap.Value]);
            double largest = Math.Max(-low, high);
            if (largest == 0)
            {
                context.Report(DiagnosticSeverity.Warning, $"'{tap.Value}' is zero wherever the calibration data were run: its scale is a guess");
            }

            scales.Add(tap.Value, InputRounding.Scale(options.Text("format"), largest, options.Integer("backoff_permille") / 1000.0, options.Flag("pow2")));
        }

        return scales;
    }

    /// <summary>A node whose input is rounded.</summary>
    /// <param name="Position">Of the node.</param>
    /// <param name="Value">The input.</param>
    /// <param name="SampleAxes">Convolutions: axes of a sample, the last ones; 0: rows lie along the last axis.</param>
    private sealed record Reader(int Position, string Value, int SampleAxes);
}
