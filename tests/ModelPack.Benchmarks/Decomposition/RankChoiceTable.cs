using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler;
using ModelPack.Pack;
using ModelPack.Runtime;
using ModelPack.Structures;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;

namespace ModelPack.Benchmarks.Decomposition;

/// <summary>What plans choose for products of low rank, factor by factor or the matrix as a whole, beside what is faster when both are measured.</summary>
internal static class RankChoiceTable
{
    private const double NearlyBest = 1.1;
    /// <summary>For both; they take turns, so that other work on the machine meets both.</summary>
    private const double MeasuredMilliseconds = 200;

    private static readonly (int Outputs, int Inputs)[] Shapes = [(256, 256), (768, 256), (512, 512), (1024, 1024), (2048, 512), (512, 2048), (2048, 2048), (4096, 1024)];

    /// <summary>Shares of the parameters.</summary>
    private static readonly double[] Shares = [0.06, 0.125, 0.25, 0.5, 0.9];

    /// <param name="rows">Rows of activations; plans are made for as many.</param>
    /// <param name="format">Number format of the factors; empty: f32.</param>
    /// <param name="large">4096 x 4096 alone, at a quarter and a half of the parameters.</param>
    public static string ToMarkdown(int rows, string format, bool large)
    {
        string scratch = Directory.CreateTempSubdirectory("ranks").FullName;
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{rows} rows of activations, factors in {(format.Length == 0 ? "f32" : format)}, all processors\n\n| outputs x inputs | rank | parameters | ms as a whole | ms by factors | times as fast | choice | right |\n|---|---|---|---|---|---|---|---|\n");
        int right = 0;
        int count = 0;
        try
        {
            foreach ((int outputs, int inputs) in large ? [(4096, 4096)] : Shapes)
            {
                foreach (double share in large ? [0.25, 0.5] : Shares)
                {
                    int rank = Math.Max(1, (int)(share * outputs * inputs / (outputs + inputs)));
                    (string planned, string kernel) = Make(scratch, outputs, inputs, rank, rows, format, "planned");
                    (string factored, _) = Make(scratch, outputs, inputs, rank, 1 << 20, format, "factored");
                    (double whole, double byFactors) = Milliseconds(planned, factored, rows, inputs);
                    bool taken = kernel != "expand";
                    bool good = (taken ? byFactors : whole) <= NearlyBest * Math.Min(whole, byFactors);
                    right += good ? 1 : 0;
                    count++;
                    text.Append(CultureInfo.InvariantCulture, $"| {outputs} x {inputs} | {rank} | {share:P0} | {whole:0.0000} | {byFactors:0.0000} | {whole / byFactors:0.00} | {(taken ? "factors" : "whole")} | {(good ? "yes" : "no")} |\n");
                }
            }
        }
        finally
        {
            Directory.Delete(scratch, recursive: true);
        }

        return text.Append(CultureInfo.InvariantCulture, $"\nWithin {NearlyBest - 1:P0} of the faster one: {right} of {count}.\n").ToString();
    }

    /// <summary>An artifact of y = x w, and the kernel of its plan.</summary>
    private static (string Artifact, string Kernel) Make(string scratch, int outputs, int inputs, int rank, int rows, string format, string name)
    {
        string input = Path.Combine(scratch, "m.onnx");
        File.WriteAllBytes(input, new OnnxBuilder().Input("x", OnnxBuilder.Float, "rows", inputs).Output("y", OnnxBuilder.Float, "rows", outputs)
            .Initializer("w", new float[inputs * outputs], inputs, outputs).Node("MatMul", ["x", "w"], ["y"]).Build());
        string artifact = Path.Combine(scratch, name + ".mpack");
        string recipe = Path.Combine(scratch, "r.json");
        File.WriteAllText(recipe, """{ "name": "r", "passes": ["canonicalize"] }""");
        var request = new CompileRequest { Input = input, Output = artifact, TuneRows = rows };
        using ImportedModel imported = ModelInput.Import(input, false, out _, CancellationToken.None);
        WeightEncoding matrix = new StructuredEncoding(LowRank.Spec(LowRank.Id, rank), new Shape(outputs, inputs), [Factor(1, outputs, rank, format), Factor(2, rank, inputs, format)]);
        Model model = imported.Model with
        {
            Graph = imported.Model.Graph with { Initializers = [.. imported.Model.Graph.Initializers.Select(t => t.Name == "w" ? t with { Encoding = Structured.Transpose(matrix) } : t)] },
        };
        PackWriter.Write(artifact, ArtifactContent.Of(model, Pipelines.ResolveRecipe(recipe, []), request, imported, null, default), new PackOptions { Level = ModelPack.Codecs.CodecLevel.Fast });
        return (artifact, Inspection.Explain(artifact).Nodes.Single(n => n.Tensor == "w").Kernel);
    }

    private static DenseEncoding Factor(ulong seed, int rows, int columns, string format)
    {
        float[] values = Values.Weights(seed, rows * columns);
        DenseEncoding raw = DenseEncoding.Raw(DType.F32, new Shape(rows, columns), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
        return format.Length == 0 ? raw : DenseEncoding.Pending(UnitSpec.Parse(format), raw);
    }

    /// <summary>The best times of the expanded matrix and of the factors.</summary>
    private static (double Whole, double Factors) Milliseconds(string planned, string factored, int rows, int inputs)
    {
        using ModelSession dense = ModelSession.Open(planned, new ModelSessionOptions { ExpandAll = true });
        using ModelSession factors = ModelSession.Open(factored);
        using OrtValue x = OrtValue.CreateTensorValueFromMemory(Values.Weights(5, rows * inputs), [rows, inputs]);
        var named = new Dictionary<string, OrtValue> { ["x"] = x };
        double[] best = [double.MaxValue, double.MaxValue];
        long start = Stopwatch.GetTimestamp();
        for (int run = 0; run < 50 || Stopwatch.GetElapsedTime(start).TotalMilliseconds < MeasuredMilliseconds; run++)
        {
            for (int way = 0; way < 2; way++)
            {
                long begin = Stopwatch.GetTimestamp();
                (way == 0 ? dense : factors).Run(named).Dispose();
                best[way] = Math.Min(best[way], Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
            }
        }

        return (best[0], best[1]);
    }
}
