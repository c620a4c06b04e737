using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Toolchain;

namespace ModelPack.Benchmarks.Kernels;

/// <summary>Which kernel plans take for 40 products, without measurements and by a hardware profile, beside the one that is fastest when all are measured.</summary>
internal static class ChoiceTable
{
    private const double NearlyBest = 1.1;

    private static readonly (int Outputs, int Inputs)[] Shapes = [(256, 256), (768, 256), (1024, 1024), (1024, 4096), (4096, 256), (4096, 1024), (4096, 4096), (11008, 4096)];
    private static readonly string[] Formats = ["int4(block=32,scale=f32)", "int4(block=128,scale=f32)", "int8(block=128,scale=f32)", "int4(block=32,scale=f32,symmetric=false)", "int8(block=32,scale=f32)"];

    public static string ToMarkdown(HardwareProfile? profile, long rows, PlanAccuracy accuracy)
    {
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{rows} rows of activations, accuracy {accuracy}, all processors; milliseconds of the fastest, and how many times as long the choices take\n\n| format | outputs x inputs | fastest | ms | usual choice | by profile |\n|---|---|---|---|---|---|\n");
        var tuner = new KernelTuner(TimeSpan.FromHours(1), 0);
        int count = 0;
        int usualGood = 0;
        int profileGood = 0;
        foreach (string format in Formats)
        {
            foreach ((int outputs, int inputs) in Shapes)
            {
                Model model = Product(UnitSpec.Parse(format), outputs, inputs);
                var times = new Recorder(tuner);
                Plan(model, accuracy, rows, null, times);
                if (times.Seconds.Count < 2)
                {
                    continue;
                }

                (string best, double least) = times.Seconds.MinBy(s => s.Value);
                double Ratio(HardwareProfile? by) => times.Seconds.TryGetValue(Plan(model, accuracy, rows, by, null), out double seconds) ? seconds / least : double.NaN;
                double usual = Ratio(null);
                double predicted = profile is null ? double.NaN : Ratio(profile);
                count++;
                usualGood += usual <= NearlyBest ? 1 : 0;
                profileGood += predicted <= NearlyBest ? 1 : 0;
                text.Append(CultureInfo.InvariantCulture, $"| {format} | {outputs} x {inputs} | {best} | {least * 1e3:0.0000} | {usual:0.00} | {predicted:0.00} |\n");
            }
        }

        return text.Append(CultureInfo.InvariantCulture, $"\nWithin {NearlyBest - 1:P0} of the fastest: usual choice {usualGood} of {count}, by profile {profileGood} of {count}.\n").ToString();
    }

    private static string Plan(Model model, PlanAccuracy accuracy, long rows, HardwareProfile? profile, IProductTimes? times) =>
        Planner.Plan(model, new PlanOptions { IsExternal = _ => true, Accuracy = accuracy, Rows = rows, Profile = profile, Times = times }).Plan.Nodes.Single().Kernel;

    private static Model Product(UnitSpec format, int outputs, int inputs)
    {
        var values = new Shape(outputs, inputs);
        DenseEncoding raw = DenseEncoding.Raw(DType.F32, values, TensorData.FromBytes(new byte[4L * outputs * inputs]));
        var weight = new Tensor
        {
            Name = "w",
            DType = DType.F32,
            Shape = new Shape(inputs, outputs),
            Encoding = new StructuredEncoding(new UnitSpec("permuted", ("perm", "1x0")), new Shape(inputs, outputs), [DenseEncoding.Pending(format, raw)]),
        };
        return new Model
        {
            Kind = ModelKind.Onnx,
            IrVersion = 8,
            Opsets = ImmutableSortedDictionary<string, long>.Empty.Add("", 17),
            Graph = new Graph
            {
                Name = "product",
                Inputs = [new ValueInfo("x", new Compiler.ValueType(DType.F32, [default, new Dimension(inputs)]))],
                Outputs = [new ValueInfo("y", new Compiler.ValueType(DType.F32, [default, new Dimension(outputs)]))],
                Initializers = [weight],
                Nodes = [new Node { OpType = "MatMul", Inputs = ["x", "w"], Outputs = ["y"] }],
            },
        };
    }

    private sealed class Recorder(IProductTimes times) : IProductTimes
    {
        public Dictionary<string, double> Seconds { get; } = new(StringComparer.Ordinal);

        double? IProductTimes.Seconds(ProductCandidate candidate)
        {
            if (times.Seconds(candidate) is double seconds)
            {
                Seconds[candidate.Kernel] = seconds;
                return seconds;
            }

            return null;
        }

        public void Chosen(string kernel, string usual)
        {
        }
    }
}
