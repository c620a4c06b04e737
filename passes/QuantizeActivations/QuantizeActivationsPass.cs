using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// Static 8-bit quantisation of activations and weights: runs the model on calibration data, chooses a range for every activation between quantisable nodes, and writes QuantizeLinear and DequantizeLinear around
/// these (<see cref="QuantizedGraph"/>); weights become int8 with a scale per output channel (<see cref="Int8Rows"/>), which the planner hands over as integers. Nodes that would lose too much accuracy or
/// not gain speed stay float and are reported.
/// </summary>
/// <remarks>
/// Why 30 dB is the default of <c>min_sqnr_db</c>: the PaddleOCR v4 recogniser (38 Conv, 9 MatMul; 480 pixels wide; one thread of a Xeon of family 6 model 207; milliseconds, best of 60 runs beside each other), calibrated on 20
/// rendered lines and compared with the float model on 200 others, of which that reads 164 right:
/// <code>
/// min_sqnr_db      original   fuse-elementwise only   30     28     24     22     12
/// read alike       200        (not measured)          197    192    191    187    179
/// read right       164        (not measured)          165    167    168    163    164
/// milliseconds     38.7..54   27.8..33                27..31 27     23.5   22.5   18.6
/// </code>
/// What a node does to its own output says little about what that does to the outputs of the model (<c>min_output_sqnr_db</c>): single nodes of 20 to 24 dB leave 20 to 48 dB there. The same model and lines on an AMD EPYC (family 25
/// model 17), calibrated on 10 and on 20 lines; divergence of the characters' probabilities on the 20; the detector by the pixels that are text to either model:
/// <code>
///                             min_sqnr_db=30   min_output_sqnr_db=30   34          36          38
/// recogniser: read alike      198 / 196        (not measured)          192 / 196   197 / 196   199 / 197
/// recogniser: divergence      0.00105                                  0.00045     0.00034     (not measured)
/// detector: pixels alike      99.20 %          99.61 %                 99.76 %
/// </code>
/// Integers for more of the recogniser are not to be had at 98 % of lines read alike: storing weights alone in 8 bits (blocks of 32, float arithmetic) leaves 191, so near to each other lie the classes of the lines that it reads wrong.
/// </remarks>
internal sealed partial class QuantizeActivationsPass(PassOptions options, TensorRules rules) : IPass, ICalibratedPass
{
    private readonly TensorSelection _selection = new(options, rules);
    private readonly string _search = options.Text("weight_search");
    private readonly long _leastDecibels = options.Integer("min_sqnr_db");
    private readonly long _leastOutputDecibels = options.Integer("min_output_sqnr_db");
    private readonly bool _all = options.Text("coverage") == "all";
    private readonly bool _correct = options.Flag("bias_correction");

    public string Name => "quantize-activations";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Compressed;

    public IReadOnlyList<CalibrationTap> Taps(Model model) =>
        model.Kind == ModelKind.Onnx ? ActivationStatisticsSet.Taps(Network(model, new GraphIndex(model.Graph))) : [];

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model.Graph.Initializers.IsEmpty ? model : throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph whose activations could be quantised: compile the model as .onnx");
        }

        var index = new GraphIndex(model.Graph);
        QuantizableNetwork network = Network(model, index);
        if (!network.Units.Any(u => _all || u.Kind == UnitKind.Weighted) || IsQuantized(model))
        {
            return model;
        }

        if (context.PlanOnly)
        {
            return WithPendingWeights(model, network);
        }

        ICalibrator calibrator = context.Calibrator ?? throw new ModelPackException(
            ErrorCodes.CalibrationMissing, "static quantisation needs calibration data: give a folder of .npy inputs (one folder per sample) or statistics of 'modelpack calibrate' with --calibration");
        Model? upgraded = OpsetUpgrade.Apply(model, InputRounding.IntegerOpset, out string obstacle);
        if (upgraded is null)
        {
            context.Report(DiagnosticSeverity.Warning, $"the model stays float: int8 weights per channel need operator set {InputRounding.IntegerOpset}, to which {obstacle} cannot be brought");
            return model;
        }

        // Statistics are those of the model as it came, which is what 'modelpack calibrate' takes them of; values have the same names in both.
        var range = new ActivationRange(options.Text("range"), options.Integer("percentile_millionths") / 1e6);
        ActivationStatisticsSet statistics = ActivationStatisticsSet.Collect(calibrator, model, ActivationStatisticsSet.Taps(network), range, network.Floors());
        context.Measure("calibration_vectors", calibrator.Info.Samples);
        index = new GraphIndex(upgraded.Graph);
        network = Network(upgraded, index);
        var floats = new Dictionary<QuantizableUnit, string>(ReferenceEqualityComparer.Instance);
        foreach (QuantizableUnit unit in network.Units)
        {
            if (Refusal(unit, index, statistics) is string reason)
            {
                floats.Add(unit, reason);
            }
        }

        QuantizationPlan plan = MakePlan(network, index, statistics, floats, context);
        if (calibrator.CanRun && plan.Selection.Selected.Any())
        {
            plan = Measured(upgraded, network, index, plan, statistics, calibrator, floats, context);
        }
        else if (!calibrator.CanRun)
        {
            context.Report(DiagnosticSeverity.Info, "statistics were given instead of data: what quantisation does to single nodes was not measured (options 'min_sqnr_db', 'min_output_sqnr_db' and 'bias_correction')");
        }

        if (_leastOutputDecibels > 0 && calibrator.CanRun && plan.Selection.Selected.Any())
        {
            plan = WithinOutputNoise(upgraded, network, index, plan, statistics, calibrator, floats, context);
        }

        Report(network, plan, floats, context);
        if (!plan.Selection.Selected.Any())
        {
            return model;
        }

        Model quantized = upgraded with { Graph = QuantizedGraph.Build(index, plan, context.OpenValues) };
        SparseWeight.WarnOfLost(model, quantized, "gives them to operators of ONNX Runtime that multiply with all of them", context);
        return options.Text("io") == "integer" ? IntegerInterface.Apply(quantized) : quantized;
    }

    private QuantizableNetwork Network(Model model, GraphIndex index) => new(index, model.Opsets.GetValueOrDefault("", 1), _all);

    /// <summary>True for a model that has been through this or a tool like it.</summary>
    private static bool IsQuantized(Model model) => model.Graph.Nodes.Any(n => n.Is("QuantizeLinear"));

    private Model WithPendingWeights(Model model, QuantizableNetwork network)
    {
        var editor = new GraphEditor(model.Graph);
        var done = new HashSet<string>(StringComparer.Ordinal);
        foreach (QuantizableUnit unit in network.Units.Where(u => u.Weight is Tensor w && _selection.Takes(w.Name) && Structured.IsRaw(w.Encoding, out _) && done.Add(w.Name)))
        {
            editor.ReplaceInitializer(unit.Weight!.Name, Int8Rows.Pending(unit, unit.Weight, _search));
        }

        return model with { Graph = editor.Build() };
    }

    /// <summary>Why a unit stays float whatever its accuracy; null when it need not.</summary>
    private string? Refusal(QuantizableUnit unit, GraphIndex index, ActivationStatisticsSet statistics)
    {
        if (unit.Kind != UnitKind.Passing && unit.Data.Append(unit.Output).FirstOrDefault(v => !statistics.IsKnown(v)) is string unseen)
        {
            return $"the calibration data give no values of '{unseen}'";
        }

        if (unit.Weight is not Tensor weight)
        {
            return null;
        }

        double macs = Multiplications(unit, statistics);
        bool alone = index.Uses(weight.Name).Count == 1;
        return true switch
        {
            _ when rules.For(weight.Name, options).Skip => "a recipe rule says so",
            _ when !_selection.Takes(weight.Name) => "options 'include' and 'exclude' leave it out",
            _ when unit.Node.Is("Conv") && unit.IsDepthwise && options.Text("depthwise") == "keep" => "option 'depthwise' keeps it",
            _ when !unit.Node.Is("Conv") && options.Text("matmul") == "keep" => "option 'matmul' keeps it",
            _ when !alone => "several nodes read its weight",
            _ when !Int8Rows.Fits(unit, weight) => $"its weight is stored as {UnitSpec.Shorten(weight.Encoding.Describe())}",
            _ when macs < options.Integer("min_macs") => string.Create(CultureInfo.InvariantCulture, $"{macs:0} multiplications are too few to be faster as integers"),
            _ => null,
        };
    }

    /// <summary>Multiplications of a weighted unit in an average sample.</summary>
    private static double Multiplications(QuantizableUnit unit, ActivationStatisticsSet statistics) =>
        statistics.Elements(unit.Output) * unit.Weight!.Shape.ElementCount / Int8Rows.Outputs(unit, unit.Weight);

    private QuantizationPlan MakePlan(QuantizableNetwork network, GraphIndex index, ActivationStatisticsSet statistics, Dictionary<QuantizableUnit, string> floats, PassContext context)
    {
        while (true)
        {
            var selection = new UnitSelection(network, u => !floats.ContainsKey(u), statistics.Elements);
            Dictionary<string, QuantizedValue> values = Values(selection, statistics);
            var weights = new Dictionary<string, Tensor>(StringComparer.Ordinal);
            var errors = new Dictionary<string, double?>(StringComparer.Ordinal);
            int refused = floats.Count;
            foreach (QuantizableUnit unit in selection.Selected.Where(u => u.Weight is not null))
            {
                context.Cancellation.ThrowIfCancellationRequested();
                float[]? bias = FloatConstant.Read(index.Constant(unit.Node.Input(2)));
                try
                {
                    if (Int8Rows.Encode(unit, unit.Weight!, bias, values[selection.Source(unit.Node.Inputs[0])].Scale, _search, context, out double? error) is Tensor encoded)
                    {
                        weights[encoded.Name] = encoded;
                        errors[encoded.Name] = error;
                    }
                    else
                    {
                        floats.Add(unit, "its bias does not fit 32 bits beside its stored weights");
                    }
                }
                catch (ModelPackException e) when (e.Code == ErrorCodes.UnrepresentableValue)
                {
                    floats.Add(unit, e.Message);
                }
            }

            if (floats.Count == refused)
            {
                return new QuantizationPlan(selection, values, weights, errors);
            }
        }
    }

    /// <summary>Parameters of every value that is made or read as codes.</summary>
    private static Dictionary<string, QuantizedValue> Values(UnitSelection selection, ActivationStatisticsSet statistics)
    {
        var gates = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (QuantizableUnit gate in selection.Selected.Where(u => u.Kind == UnitKind.Gate))
        {
            gates.TryAdd(selection.Source(gate.Node.Inputs[0]), -gate.GateOffset);
        }

        var values = new Dictionary<string, QuantizedValue>(StringComparer.Ordinal);
        foreach (QuantizableUnit unit in selection.Selected)
        {
            foreach (string value in unit.Data.Append(unit.Output).Select(selection.Source).Where(v => !values.ContainsKey(v)))
            {
                (double low, double high) = statistics.Range(value);
                double[] offsets = [.. Offsets(value)];
                values.Add(value, (offsets.Length > 0 ? QuantizedValue.WithOffsets(low, high, offsets) : null) ?? QuantizedValue.Of(low, high));
            }
        }

        foreach (QuantizableUnit gate in selection.Selected.Where(u => u.Kind == UnitKind.Gate))
        {
            values[gate.Output] = QuantizedValue.Of(0, 1);
        }

        return values;

        IEnumerable<double> Offsets(string value)
        {
            if (gates.TryGetValue(value, out double gate))
            {
                yield return gate;
            }

            if (selection.Selected.FirstOrDefault(u => u.Output == value) is { IsScaled: true, Offset: not 0 } scaled)
            {
                yield return scaled.Offset;
            }
        }
    }
}
