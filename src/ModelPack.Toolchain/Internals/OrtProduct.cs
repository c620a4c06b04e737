using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Containers.Onnx;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>A product of ONNX Runtime's that kernels are compared with.</summary>
/// <param name="Bits">Width of the codes of MatMulNBits; 0 for MatMul with f32 weights.</param>
/// <param name="Block">Its block.</param>
/// <param name="Level">Its accuracy level: 0 computes in f32, 4 rounds activations to 8 bits.</param>
internal sealed partial record OrtProduct(int Bits, int Block, int Level)
{
    private const string NbitsDomain = "com.microsoft";

    public static IReadOnlyList<OrtProduct> All { get; } =
    [
        new(0, 0, 0), new(4, 32, 0), new(4, 32, 4), new(4, 128, 0), new(4, 128, 4), new(8, 128, 4),
    ];

    public string Kernel => Bits == 0 ? "ort:MatMul" : $"ort:MatMulNBits(bits={Bits},block={Block},level={Level})";

    public string Format => Bits == 0 ? "f32" : $"int{Bits}(block={Block})";

    /// <summary>The product with a name that <see cref="Kernel"/> gives.</summary>
    public static bool TryParse(string kernel, [NotNullWhen(true)] out OrtProduct? product)
    {
        Match bits = Name().Match(kernel);
        int Number(int group) => int.Parse(bits.Groups[group].ValueSpan, CultureInfo.InvariantCulture);
        product = bits.Success ? new OrtProduct(Number(1), Number(2), Number(3)) : kernel == "ort:MatMul" ? new OrtProduct(0, 0, 0) : null;
        return product is not null;
    }

    /// <summary>False where the operator does not take the shape, or the weight is too large for one array.</summary>
    public bool Fits(int rows, int columns) => (Bits == 0 || columns % Block == 0) && CodeBytes(rows, columns) <= Array.MaxLength;

    /// <summary>Random weights; for MatMulNBits its codes.</summary>
    public byte[] Codes(int rows, int columns)
    {
        byte[] codes = GC.AllocateUninitializedArray<byte>(checked((int)CodeBytes(rows, columns)));
        if (Bits != 0)
        {
            var random = new SplitMix64(3);
            foreach (ref ulong value in MemoryMarshal.Cast<byte, ulong>(codes.AsSpan()))
            {
                value = random.Next();
            }

            return codes;
        }

        float[] values = GaussianError.Sample(256 * columns, 0.02f);
        Span<float> all = MemoryMarshal.Cast<byte, float>(codes.AsSpan());
        for (int at = 0; at < all.Length; at += values.Length)
        {
            values.AsSpan(0, Math.Min(values.Length, all.Length - at)).CopyTo(all[at..]);
        }

        return codes;
    }

    /// <summary>A model of this one node.</summary>
    public PackedModel Open(byte[] codes, int rows, int columns, int threads)
    {
        Shape shape = Bits == 0 ? new Shape(columns, rows) : new Shape(rows, columns / Block, Block * Bits / 8);
        var weights = new List<Tensor> { Tensor.Raw("w", Bits == 0 ? DType.F32 : DType.U8, shape, TensorData.FromBytes(codes)) };
        if (Bits != 0)
        {
            float[] scales = new float[(long)rows * columns / Block];
            Array.Fill(scales, 0.01f);
            weights.Add(Tensor.Raw("scales", DType.F32, new Shape(rows, columns / Block), TensorData.FromBytes(MemoryMarshal.AsBytes<float>(scales).ToArray())));
        }

        return Open(Kernel, [Node(rows, columns)], weights, [default, new Dimension(columns)], [default, new Dimension(rows)], threads);
    }

    /// <summary>A chain of nodes that compute next to nothing, from x [1] to y [1].</summary>
    public static PackedModel Chain(int nodes) => Open(
        "chain", [.. Enumerable.Range(0, nodes).Select(i => new Node { OpType = "Sin", Inputs = [i == 0 ? "x" : $"x{i}"], Outputs = [i == nodes - 1 ? "y" : $"x{i + 1}"] })], [], [new Dimension(1)], [new Dimension(1)], 1);

    /// <summary>A model from x to y.</summary>
    public static PackedModel Open(string name, ImmutableArray<Node> nodes, List<Tensor> weights, ImmutableArray<Dimension> input, ImmutableArray<Dimension> output, int threads)
    {
        var graph = new Graph
        {
            Name = name,
            Nodes = nodes,
            Initializers = [.. weights],
            Inputs = [new ValueInfo("x", new Compiler.ValueType(DType.F32, input))],
            Outputs = [new ValueInfo("y", new Compiler.ValueType(DType.F32, output))],
        };
        Model model = new()
        {
            Kind = ModelKind.Onnx,
            Graph = graph,
            Opsets = new Dictionary<string, long> { [""] = 17, [NbitsDomain] = 1, [PackedMatMul.Domain] = 1 }.ToImmutableSortedDictionary(StringComparer.Ordinal),
            IrVersion = 8,
        };
        byte[] bytes = OnnxModelWriter.WriteWeightless(model, _ => true, ArtifactContent.Dense);
        var source = new ModelWeights(bytes, weights.ToDictionary(w => w.Name, StringComparer.Ordinal));
        return PackedModel.Open(name, source, new ModelSessionOptions { ExpandAll = true, Threads = threads });
    }

    private Node Node(int rows, int columns) => Bits == 0
        ? new Node { OpType = "MatMul", Inputs = ["x", "w"], Outputs = ["y"] }
        : new Node
        {
            OpType = "MatMulNBits",
            Domain = NbitsDomain,
            Inputs = ["x", "w", "scales"],
            Outputs = ["y"],
            Attributes =
            [
                new NodeAttribute("K", new AttributeValue.Int(columns)),
                new NodeAttribute("N", new AttributeValue.Int(rows)),
                new NodeAttribute("bits", new AttributeValue.Int(Bits)),
                new NodeAttribute("block_size", new AttributeValue.Int(Block)),
                new NodeAttribute("accuracy_level", new AttributeValue.Int(Level)),
            ],
        };

    private long CodeBytes(int rows, int columns) => Bits == 0 ? 4L * rows * columns : (long)rows * columns * Bits / 8;

    [GeneratedRegex(@"^ort:MatMulNBits\(bits=(\d{1,2}),block=(\d{1,9}),level=(\d)\)$", RegexOptions.CultureInvariant)]
    private static partial Regex Name();
}
