using System.Collections.Immutable;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>A gated perceptron of block-sparse weights, SiLU between, inside ONNX Runtime: as one operator, and as its products with ONNX Runtime's operators between them.</summary>
internal sealed class BenchedMlp : IDisposable
{
    private readonly PackedModel[] _fused;
    private readonly PackedModel[] _parts;
    private readonly OrtValue _x;
    private readonly Dictionary<string, OrtValue> _inputs;

    private BenchedMlp(PackedModel[] fused, PackedModel[] parts, OrtValue x, long bytes)
    {
        (_fused, _parts, _x, Bytes) = (fused, parts, x, bytes);
        _inputs = new Dictionary<string, OrtValue> { ["x"] = x };
    }

    /// <summary>Of all weights.</summary>
    public long Bytes { get; }

    /// <summary>Makes the weights and the sessions.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022: the format or the block does not exist, or no kernel reads it.</exception>
    public static BenchedMlp Make(KernelBenchmarkOptions options, string format, int sparsity)
    {
        (int hidden, int width) = (options.Rows, options.Columns);
        Tensor[] weights = [Weight("G", hidden, width, 5), Weight("U", hidden, width, 6), Weight("D", width, hidden, 7)];
        Tensor Weight(string name, int rows, int columns, ulong seed)
        {
            using var weight = BenchedSparseWeight.Make(options.SparseBlock, format, rows, columns, sparsity, seed);
            byte[] bytes = weight.Packed();
            return Tensor.Raw(name, DType.U8, new Shape(bytes.Length), TensorData.FromBytes(bytes));
        }

        ImmutableArray<Node> parts =
        [
            Own("PackedMatMul", ["x", "G"], "g", ("N", Int(hidden)), ("arithmetic", Text("f32"))),
            Own("PackedMatMul", ["x", "U"], "u", ("N", Int(hidden)), ("arithmetic", Text("f32"))),
            new Node { OpType = "Sigmoid", Inputs = ["g"], Outputs = ["s"] },
            new Node { OpType = "Mul", Inputs = ["g", "s"], Outputs = ["a"] },
            new Node { OpType = "Mul", Inputs = ["a", "u"], Outputs = ["h"] },
            Own("PackedMatMul", ["h", "D"], "y", ("N", Int(width)), ("arithmetic", Text("f32"))),
        ];
        ImmutableArray<Node> fused = [Own("GatedMlp", ["x", "G", "U", "D"], "y", ("N", Int(width)), ("activation", Text("silu")), ("weights", Int(3)))];
        PackedModel[] Open(ImmutableArray<Node> nodes) =>
            [.. new[] { 1, options.Threads }.Distinct().Select(t => OrtProduct.Open("gated", nodes, [.. weights], [default, new Dimension(width)], [default, new Dimension(width)], t))];
        return new BenchedMlp(
            Open(fused),
            Open(parts),
            OrtValue.CreateTensorValueFromMemory(GaussianError.Sample(options.Batch * width, 1), [options.Batch, width]),
            weights.Sum(w => w.Shape.ElementCount));
    }

    /// <summary>Everything in one operator.</summary>
    public void Fused(int threads) => Run(_fused, threads);

    /// <summary>The same products one after the other.</summary>
    public void Parts(int threads) => Run(_parts, threads);

    public void Dispose()
    {
        foreach (PackedModel model in _fused.Concat(_parts))
        {
            model.Dispose();
        }

        _x.Dispose();
    }

    private static Node Own(string op, ImmutableArray<string> inputs, string output, params (string Name, AttributeValue Value)[] attributes) =>
        new() { OpType = op, Domain = PackedMatMul.Domain, Inputs = inputs, Outputs = [output], Attributes = [.. attributes.Select(a => new NodeAttribute(a.Name, a.Value))] };

    private static AttributeValue.Int Int(long value) => new(value);

    private static AttributeValue.Text Text(string value) => new(value);

    private void Run(PackedModel[] models, int threads) => models[threads == 1 ? 0 : ^1].Run(_inputs).Dispose();
}
