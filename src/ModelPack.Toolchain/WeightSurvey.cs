using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>What a model spends its weights on: elements by the operator that reads them, subgraphs, functions and weights in <c>Constant</c> nodes included.</summary>
internal sealed class WeightSurvey
{
    /// <summary>Tensors of fewer elements are biases, norms and shapes.</summary>
    private const long Smallest = 256;

    /// <summary>Operators whose result stands for the weight they read.</summary>
    private static readonly HashSet<string> Moves = new(StringComparer.Ordinal) { "Identity", "Cast", "Transpose", "DequantizeLinear", "Reshape" };

    private readonly HashSet<Tensor> _seen = new(ReferenceEqualityComparer.Instance);

    private WeightSurvey()
    {
    }

    /// <summary>Elements of all weights.</summary>
    public long Total { get; private set; }

    /// <summary>Elements of weights in 8 bits or fewer.</summary>
    public long Quantised { get; private set; }

    /// <summary>Elements of weights that the importer made ternary.</summary>
    public long Ternary { get; private set; }

    public long Convolution { get; private set; }

    public long Linear { get; private set; }

    public long Embedding { get; private set; }

    public long Recurrent { get; private set; }

    /// <summary>The largest float weight of a linear layer.</summary>
    public Tensor? Largest { get; private set; }

    /// <summary>Rows of the tables that Gather reads.</summary>
    public HashSet<long> Tables { get; } = [];

    /// <summary>Rows of tables that a linear layer reads as well.</summary>
    public HashSet<long> TiedTables { get; } = [];

    /// <summary>Results per input row of linear layers.</summary>
    public HashSet<long> OutputWidths { get; } = [];

    public static WeightSurvey Of(Model model)
    {
        var survey = new WeightSurvey();
        if (model.Kind == ModelKind.Onnx)
        {
            survey.Add(model.Graph, new Dictionary<string, Weight>(StringComparer.Ordinal));
            foreach (Function function in model.Functions)
            {
                survey.Add(function.Nodes, new Dictionary<string, Weight>(StringComparer.Ordinal));
            }
        }
        else
        {
            foreach (Tensor tensor in model.Graph.Initializers.Where(t => t.Shape.Rank > 1))
            {
                survey.AddCheckpoint(tensor);
            }
        }

        return survey;
    }

    private void AddCheckpoint(Tensor tensor)
    {
        bool table = tensor.Name.Contains("embed", StringComparison.OrdinalIgnoreCase) || tensor.Name.Split('.').Any(p => p is "wte" or "wpe");
        if (table)
        {
            Embedding += Count(tensor);
        }
        else if (tensor.Shape.Rank == 4)
        {
            Convolution += Count(tensor);
        }
        else
        {
            AddLinear(tensor);
        }
    }

    private void Add(Graph graph, Dictionary<string, Weight> outer)
    {
        var constants = new Dictionary<string, Weight>(outer, StringComparer.Ordinal);
        foreach (Tensor tensor in graph.Initializers)
        {
            constants[tensor.Name] = new(tensor, Transposed: false);
        }

        Add(graph.Nodes, constants);
    }

    private void Add(IEnumerable<Node> nodes, Dictionary<string, Weight> constants)
    {
        foreach (Node node in nodes)
        {
            if (node.Is("Constant") && node.Attribute("value") is AttributeValue.TensorValue value && node.Outputs.Length == 1)
            {
                constants[node.Outputs[0]] = new(value.Value, Transposed: false);
            }
            else if (node.Domain.Length == 0 && Moves.Contains(node.OpType) && node.Outputs.Length > 0 && constants.TryGetValue(node.Input(0), out Weight moved))
            {
                constants[node.Outputs[0]] = moved with { Transposed = moved.Transposed != node.Is("Transpose") };
            }
            else
            {
                Count(node, constants);
            }

            foreach (Graph inner in node.Subgraphs())
            {
                Add(inner, constants);
            }
        }
    }

    private void Count(Node node, Dictionary<string, Weight> constants)
    {
        foreach (string name in node.Inputs)
        {
            if (!constants.TryGetValue(name, out Weight weight) || weight.Tensor.Shape.Rank < 2)
            {
                continue;
            }

            Tensor tensor = weight.Tensor;
            switch (node.OpType)
            {
                case "Conv" or "ConvTranspose" or "QLinearConv" or "ConvInteger" or "FusedConv":
                    Convolution += Count(tensor);
                    break;
                case "LSTM" or "GRU" or "RNN":
                    Recurrent += Count(tensor);
                    break;
                case "Gather" or "GatherBlockQuantized":
                    Tables.Add(tensor.Shape.Dims[0]);
                    Embedding += Count(tensor);
                    break;
                case "MatMul" or "Gemm" or "MatMulNBits" or "QLinearMatMul" or "MatMulInteger" or "FusedMatMul" or "FusedGemm":
                    if (_seen.Contains(tensor))
                    {
                        TiedTables.Add(tensor.Shape.Dims[0]);
                    }

                    bool outputsFirst = weight.Transposed != (node.OpType is "MatMulNBits" || node.Int("transB", 0) != 0);
                    OutputWidths.Add(outputsFirst ? tensor.Shape.Dims[0] : tensor.Shape.Dims[^1]);
                    AddLinear(tensor);
                    break;
                default:
                    Count(tensor);
                    break;
            }
        }
    }

    private void AddLinear(Tensor tensor)
    {
        long count = Count(tensor);
        Linear += count;
        if (count > (Largest?.Shape.ElementCount ?? 0) && tensor.DType.IsFloat() && tensor.DType.BitsPerElement() >= 16)
        {
            Largest = tensor;
        }
    }

    /// <summary>Elements of a weight not counted before; 0 for small tensors and shapes.</summary>
    private long Count(Tensor tensor)
    {
        long elements = tensor.Shape.ElementCount;
        int bits = tensor.DType.BitsPerElement();
        if (elements < Smallest || bits is 0 or > 64 || (tensor.DType.IsInteger() && bits > 8) || tensor.DType == DType.Bool || !_seen.Add(tensor))
        {
            return 0;
        }

        Total += elements;
        Quantised += bits <= 8 ? elements : 0;
        Ternary += IsTernary(tensor.Encoding) ? elements : 0;
        return elements;
    }

    private static bool IsTernary(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding dense => dense.Format.Id == "ternary",
        StructuredEncoding { Components: [WeightEncoding inner] } => IsTernary(inner),
        _ => false,
    };

    /// <summary>A constant under the name it has at some place of the graph.</summary>
    private readonly record struct Weight(Tensor Tensor, bool Transposed);
}
