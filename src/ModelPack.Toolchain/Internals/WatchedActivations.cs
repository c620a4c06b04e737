using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Containers.Onnx;
using ModelPack.Pack;
using ModelPack.Runtime;
using ModelPack.Runtime.Loading;

namespace ModelPack.Toolchain;

/// <summary>
/// An artifact whose contextual perceptrons tell, in every run, which share of their activations counted. Its execution graph gets an output for each:
/// <code>
/// s = Shrink(a)                       ->    count = ReduceMean(Sign(Abs(s)))
/// y = ContextualMlp(x, g, U, D)       ->    s = Shrink(f(g))   count = ReduceMean(Sign(Abs(s)))
/// </code>
/// Nothing else of it is changed. Decides nothing of an artifact.
/// </summary>
internal sealed class WatchedActivations
{
    private const string Prefix = "modelpack_counted_";

    /// <summary>The first operator set with all operators that are added.</summary>
    private const long LeastOpset = 9;

    private readonly double[] _counted;
    private double _weight;

    private WatchedActivations(TensorData graph, IReadOnlyList<string> outputs)
    {
        (Graph, Outputs) = (graph, outputs);
        _counted = new double[outputs.Count];
    }

    /// <summary>Names of the added outputs.</summary>
    public IReadOnlyList<string> Outputs { get; }

    private TensorData Graph { get; }

    /// <summary>Opens an artifact so; null when it has no contextual perceptrons, or is no artifact with a graph.</summary>
    /// <param name="path">A file.</param>
    /// <param name="options">Of the session.</param>
    /// <param name="watched">The perceptrons.</param>
    /// <param name="cancellation">Stops reading.</param>
    /// <exception cref="ModelPackException">MP13xx, MP5001 to MP5003: the artifact is damaged or cannot be executed.</exception>
    public static PackedModel? TryOpen(string path, ModelSessionOptions options, out WatchedActivations? watched, CancellationToken cancellation)
    {
        watched = null;
        if (!File.Exists(path) || !PackReader.IsNamedOrIsArtifact(path))
        {
            return null;
        }

        using PackReader reader = PackReader.Open(path);
        if (!reader.Blobs.TryGetValue(Artifact.ExecutionGraphBlob, out TensorData? graph))
        {
            return null;
        }

        // Bound weights stay where they are.
        var external = new HashSet<string>(StringComparer.Ordinal);
        Model model = OnnxModelReader.ReadWeightless(
            graph,
            (_, placeholder) =>
            {
                external.Add(placeholder.Name);
                return placeholder with { Encoding = new DenseEncoding(new UnitSpec(placeholder.DType.Name()), placeholder.Shape, []) };
            },
            cancellation);
        var editor = new GraphEditor(model.Graph);
        var outputs = new List<string>();
        for (int i = 0; i < model.Graph.Nodes.Length; i++)
        {
            Node node = model.Graph.Nodes[i];
            if (node.Is("Shrink") && node.Float("bias", 0) == 0)
            {
                editor.InsertAfter(i, Count(node.Outputs[0], outputs, editor));
            }
            else if (node.OpType == "ContextualMlp" && node.Domain == PackedMatMul.Domain)
            {
                Node[] activated = Activate(node, editor);
                editor.InsertAfter(i, [.. activated, .. Count(activated[^1].Outputs[0], outputs, editor)]);
            }
        }

        if (outputs.Count == 0 || model.Opsets.GetValueOrDefault("", 0) < LeastOpset)
        {
            return null;
        }

        Graph edited = editor.Build();
        edited = edited with { Outputs = [.. edited.Outputs, .. outputs.Select(o => new ValueInfo(o, new Compiler.ValueType(DType.F32, [])))] };
        byte[] bytes = OnnxModelWriter.WriteWeightless(model with { Graph = edited }, t => external.Contains(t.Name));
        watched = new WatchedActivations(TensorData.FromBytes(bytes), outputs);
        return PackedModel.Open(path, new Source(new PackSource(reader), watched.Graph), options);
    }

    /// <summary>Takes the outputs of a run.</summary>
    /// <param name="outputs">With all of <see cref="Outputs"/>.</param>
    /// <param name="weight">How much there was of it: its windows.</param>
    public void Add(ModelOutputs outputs, int weight)
    {
        for (int i = 0; i < _counted.Length; i++)
        {
            _counted[i] += weight * (double)outputs[Outputs[i]].GetTensorDataAsSpan<float>()[0];
        }

        _weight += weight;
    }

    /// <summary>What was seen.</summary>
    public ContextualSparsity Result()
    {
        double[] shares = [.. _counted.Select(c => 1 - (c / _weight))];
        return new ContextualSparsity(shares.Average(), shares.Min(), shares.Max(), shares.Length);
    }

    /// <summary>The share of a value that is not zero.</summary>
    private static Node[] Count(string value, List<string> outputs, GraphEditor editor)
    {
        string name = editor.UniqueName(Prefix + outputs.Count);
        outputs.Add(name);
        (string size, string sign) = (editor.UniqueName(name + "_size"), editor.UniqueName(name + "_sign"));
        return
        [
            new Node { OpType = "Abs", Inputs = [value], Outputs = [size] },
            new Node { OpType = "Sign", Inputs = [size], Outputs = [sign] },
            new Node { OpType = "ReduceMean", Inputs = [sign], Outputs = [name], Attributes = [new NodeAttribute("keepdims", new AttributeValue.Int(0))] },
        ];
    }

    /// <summary>The activations of the operator, as far as they are above its threshold, in operators of the first set.</summary>
    private static Node[] Activate(Node node, GraphEditor editor)
    {
        string g = node.Inputs[1];
        var nodes = new List<Node>();
        string Add(string op, string[] inputs, params NodeAttribute[] attributes)
        {
            string output = editor.UniqueName(Prefix + "value");
            nodes.Add(new Node { OpType = op, Inputs = [.. inputs], Outputs = [output], Attributes = [.. attributes] });
            return output;
        }

        string Constant(float value)
        {
            string name = editor.UniqueName(Prefix + "constant");
            editor.AddInitializer(Tensor.Raw(name, DType.F32, new Shape(1), TensorData.FromBytes(BitConverter.GetBytes(value))));
            return name;
        }

        // g times half of 1 + what is odd and between -1 and 1.
        string Half(string odd) => Add("Mul", [g, Add("Mul", [Add("Add", [odd, Constant(1)]), Constant(0.5f)])]);
        const float rootOfHalf = 0.70710678f;
        const float rootOfTwoByPi = 0.79788456f;
        const float cubic = 0.044715f;
        string activated = node.Attribute("activation")?.ToString() switch
        {
            "relu" => Add("Relu", [g]),
            "silu" => Add("Mul", [g, Add("Sigmoid", [g])]),
            "gelu" => Half(Add("Erf", [Add("Mul", [g, Constant(rootOfHalf)])])),
            "gelu_tanh" => Half(Add("Tanh", [Add("Mul", [Add("Add", [g, Add("Mul", [Add("Mul", [Add("Mul", [g, g]), g]), Constant(cubic)])]), Constant(rootOfTwoByPi)])])),
            string other => throw new ModelPackException(ErrorCodes.BadPlan, $"a contextual perceptron with activation '{other}', which this version does not know"),
            null => throw new ModelPackException(ErrorCodes.BadPlan, "a contextual perceptron without activation"),
        };
        if (!float.TryParse(node.Attribute("threshold")?.ToString(), CultureInfo.InvariantCulture, out float threshold))
        {
            throw new ModelPackException(ErrorCodes.BadPlan, "a contextual perceptron without threshold");
        }

        _ = Add("Shrink", [activated], new NodeAttribute("lambd", new AttributeValue.Float(threshold)), new NodeAttribute("bias", new AttributeValue.Float(0)));
        return [.. nodes];
    }

    /// <summary>The artifact with another execution graph.</summary>
    private sealed class Source(PackSource artifact, TensorData graph) : IWeightSource
    {
        public byte[]? Identity => artifact.Identity;

        public TensorData? Blob(string name) => name == Artifact.ExecutionGraphBlob ? graph : artifact.Blob(name);

        public IStoredWeight? Find(string tensor) => artifact.Find(tensor);
    }
}
