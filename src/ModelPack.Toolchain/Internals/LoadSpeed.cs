using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>Measures how long artifacts take to open on this machine: what any takes, what a node adds, and how fast weights become ready to be multiplied with.</summary>
internal static class LoadSpeed
{
    private const int Inputs = 2048;
    private const int FewOutputs = 64;
    private const int ManyOutputs = 8192;
    private const int Nodes = 500;
    private const int Repeats = 5;

    /// <summary>Milliseconds of an artifact with hardly any weights, microseconds of a further node, and 10^9 bytes per second of weights as kernels read them; int4 of values that are about normally distributed, files in the system's cache, best of several.</summary>
    public static (double OpenMilliseconds, double NodeMicroseconds, double Gbps) Measure(CancellationToken cancellation)
    {
        string folder = Directory.CreateTempSubdirectory("modelpack-profile").FullName;
        try
        {
            (double few, long fewBytes) = Open(folder, FewOutputs, 0, cancellation);
            (double many, long manyBytes) = Open(folder, ManyOutputs, 0, cancellation);
            (double deep, _) = Open(folder, FewOutputs, Nodes, cancellation);
            return (few * 1e3, Math.Max(0, deep - few) / Nodes * 1e6, many > few ? (manyBytes - fewBytes) / (many - few) / 1e9 : 0);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static (double Seconds, long WeightBytes) Open(string folder, int outputs, int nodes, CancellationToken cancellation)
    {
        string model = Path.Combine(folder, "model.onnx");
        string artifact = Path.Combine(folder, "model.mpack");
        File.WriteAllBytes(model, OnnxModelWriter.WriteWeightless(Product(outputs, nodes), _ => false));
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "int4", Sets = ["quantize.ends=same"] }, cancellation: cancellation);
        double best = double.MaxValue;
        for (int i = 0; i < Repeats; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = TimeProvider.System.GetTimestamp();
            using (ModelSession.Open(artifact))
            {
                best = Math.Min(best, TimeProvider.System.GetElapsedTime(start).TotalSeconds);
            }
        }

        return (best, Inspection.Explain(artifact, cancellation: cancellation).Memory!.WeightBytes);
    }

    /// <summary>x [1, 2048] -> MatMul -> so many element-wise nodes -> y [1, outputs].</summary>
    private static Model Product(int outputs, int nodes)
    {
        float[] weights = new float[Inputs * outputs];
        var random = new SplitMix64(1);
        for (int i = 0; i < weights.Length; i++)
        {
            // Four uniform ones are normal enough for codes and for what is entropy-coded of them.
            weights[i] = (float)(random.Unit() + random.Unit() + random.Unit() + random.Unit() - 2);
        }

        ValueInfo value(string name, long size) => new(name, new Compiler.ValueType(DType.F32, [new Dimension(1), new Dimension(size)]));
        return new Model
        {
            Kind = ModelKind.Onnx,
            IrVersion = 8,
            Opsets = ImmutableSortedDictionary<string, long>.Empty.WithComparers(StringComparer.Ordinal).Add("", 17),
            Graph = new Graph
            {
                Name = "product",
                Inputs = [value("x", Inputs)],
                Outputs = [value("y", outputs)],
                Initializers = [Tensor.Raw("w", DType.F32, new Shape(Inputs, outputs), TensorData.FromBytes(MemoryMarshal.AsBytes(weights.AsSpan()).ToArray()))],
                Nodes =
                [
                    new Node { Name = "product", OpType = "MatMul", Inputs = ["x", "w"], Outputs = [nodes == 0 ? "y" : "h0"] },
                    .. Enumerable.Range(0, nodes).Select(i => new Node { Name = $"node{i}", OpType = i % 2 == 0 ? "Tanh" : "Sin", Inputs = [$"h{i}"], Outputs = [i + 1 == nodes ? "y" : $"h{i + 1}"] }),
                ],
            },
        };
    }
}
