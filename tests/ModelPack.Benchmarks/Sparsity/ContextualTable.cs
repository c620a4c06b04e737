using System.Diagnostics;
using System.Globalization;
using System.Text;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;

namespace ModelPack.Benchmarks.Sparsity;

/// <summary>A gated perceptron of random weights that leaves out neurons at run time, beside the same perceptron as it is planned without: both compiled and run as models are, taking turns.</summary>
internal static class ContextualTable
{
    private const int Rounds = 400;

    private static readonly TimeSpan Enough = TimeSpan.FromSeconds(3);

    /// <summary>Milliseconds, the fastest of many runs.</summary>
    /// <param name="width">Inputs and outputs.</param>
    /// <param name="hidden">Neurons.</param>
    /// <param name="format"><c>f32</c> or <c>bf16</c>.</param>
    /// <param name="rows">Rows of activations.</param>
    public static string ToMarkdown(int width, int hidden, string format, IReadOnlyList<int> rows)
    {
        string folder = Directory.CreateTempSubdirectory("contextual").FullName;
        var text = new StringBuilder();
        try
        {
            float threshold = Median(width, hidden);
            string dense = Compile(folder, "dense", width, hidden, format, 0);
            string contextual = Compile(folder, "contextual", width, hidden, format, threshold);
            text.Append(CultureInfo.InvariantCulture, $"{width}, {hidden}, {format}: {string.Join(' ', Inspection.Explain(dense).Nodes.Select(n => n.Kernel).Distinct())} : {string.Join(' ', Inspection.Explain(contextual).Nodes.Select(n => n.Kernel).Distinct())}\n");
            foreach (int threads in new[] { 1, 2 })
            {
                using ModelSession without = ModelSession.Open(dense, new ModelSessionOptions { Threads = threads });
                using ModelSession with = ModelSession.Open(contextual, new ModelSessionOptions { Threads = threads });
                foreach (int count in rows)
                {
                    NamedTensor x = NamedTensor.Of("x", Values.Weights(9, count * width).Select(v => v * 50).ToArray(), count, width);
                    double one = double.MaxValue;
                    double two = double.MaxValue;
                    long start = Stopwatch.GetTimestamp();
                    for (int round = 0; round < 5 || (round < Rounds && Stopwatch.GetElapsedTime(start) < Enough); round++)
                    {
                        one = Math.Min(one, Milliseconds(without, x));
                        two = Math.Min(two, Milliseconds(with, x));
                    }

                    text.Append(CultureInfo.InvariantCulture, $"  {threads} threads, {count} rows: {one:0.000} : {two:0.000} ms, {one / two:0.00} times as fast\n");
                }
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        return text.ToString();
    }

    private static double Milliseconds(ModelSession session, NamedTensor x)
    {
        long start = Stopwatch.GetTimestamp();
        _ = session.Run([x]);
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    /// <summary>The median of |silu(g)| for normal g of the deviation that these weights and inputs give.</summary>
    private static float Median(int width, int hidden)
    {
        float[] x = [.. Values.Weights(9, width).Select(v => v * 50)];
        float[] weights = Values.Weights(1, Math.Min(hidden, 512) * width);
        float[] sizes = [.. weights.Chunk(width).Select(row => row.Zip(x, (a, b) => (double)a * b).Sum()).Select(g => (float)Math.Abs(g / (1 + Math.Exp(-g)))).Order()];
        return sizes[sizes.Length / 2];
    }

    private static string Compile(string folder, string name, int width, int hidden, string format, float threshold)
    {
        OnnxBuilder model = new OnnxBuilder(17).Input("x", OnnxBuilder.Float, "rows", width).Output("y", OnnxBuilder.Float, "rows", width);
        string Weight(string weight, ulong seed, int rows, int columns, bool turned)
        {
            float[] values = Values.Weights(seed, rows * columns);
            string last = weight;
            if (format == "bf16")
            {
                byte[] bytes = new byte[2 * values.Length];
                ModelPack.Numbers.NarrowFloats.Round(values, DType.BF16, bytes);
                model.Initializer(weight, 16, bytes, rows, columns);
                model.Node("Cast", [weight], [last = weight + "_wide"], "", "", ("to", 1L));
            }
            else
            {
                model.Initializer(weight, values, rows, columns);
            }

            return turned ? Turn(last) : last;
        }

        string Turn(string value)
        {
            model.Node("Transpose", [value], [value + "_turned"], "", "", ("perm", new long[] { 1, 0 }));
            return value + "_turned";
        }

        model.Node("MatMul", ["x", Weight("g", 1, hidden, width, true)], ["gate"]).Node("MatMul", ["x", Weight("u", 2, hidden, width, true)], ["up"])
            .Node("Sigmoid", ["gate"], ["s"]).Node("Mul", ["s", "gate"], ["a"]);
        if (threshold > 0)
        {
            model.Node("Shrink", ["a"], ["kept"], "", "", ("lambd", threshold), ("bias", 0f));
        }

        byte[] onnx = model.Node("Mul", [threshold > 0 ? "kept" : "a", "up"], ["h"]).Node("MatMul", ["h", Weight("d", 3, hidden, width, false)], ["y"]).Build();
        string input = Path.Combine(folder, name + ".onnx");
        File.WriteAllBytes(input, onnx);
        string output = Path.Combine(folder, name + ".mpack");
        ModelCompiler.Compile(new CompileRequest { Input = input, Output = output, Recipe = "lossless", Accuracy = "exact", Level = ModelPack.Codecs.CodecLevel.Fast });
        return output;
    }
}
