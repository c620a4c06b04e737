using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>
/// Checks that a model is legal: every value made once and before it is read, every name resolvable, encodings that fit their tensors, and
/// nothing that the phase forbids. Run after every pass.
/// </summary>
public sealed class Verifier
{
    private readonly Func<UnitSpec, Shape, IBoundNumberFormat>? _bind;
    private readonly Action<StructuredEncoding>? _validateStructure;

    /// <param name="bind">Binds number formats, to check encodings deeply; null leaves that out.</param>
    /// <param name="validateStructure">Checks structures; null leaves that out.</param>
    public Verifier(Func<UnitSpec, Shape, IBoundNumberFormat>? bind = null, Action<StructuredEncoding>? validateStructure = null)
    {
        _bind = bind;
        _validateStructure = validateStructure;
    }

    /// <exception cref="ModelPackException">MP2010 to MP2016: what is wrong, with the node and the value.</exception>
    public void Check(Model model, Phase phase)
    {
        bool ordered = phase > Phase.Imported;
        CheckGraph(model.Graph, "the graph", outer: [], model.Kind != ModelKind.Onnx, ordered);
        foreach (Function function in model.Functions)
        {
            CheckFunction(function, ordered);
        }

        if (phase >= Phase.Canonical)
        {
            CheckCanonical(model.Graph);
        }
    }

    private static void CheckCanonical(Graph graph)
    {
        foreach (Node node in graph.Nodes)
        {
            bool dense = node.Attributes.Any(a => a.Name.StartsWith("value", StringComparison.Ordinal) && a.Value is not (AttributeValue.Opaque or AttributeValue.Reference));
            if (node.Is("Constant") && dense)
            {
                throw new ModelPackException(ErrorCodes.PhaseRuleBroken, $"node '{node.Handle}': a Constant node is left in the main graph after canonicalize");
            }
        }
    }

    private void CheckFunction(Function function, bool ordered)
    {
        string where = $"function '{function.Name}'";
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (string input in function.Inputs)
        {
            Define(input, known, $"{where}: input");
        }

        CheckNodes(function.Nodes, known, where, ordered);
        foreach (string output in function.Outputs)
        {
            Resolve(output, known, $"{where}: output");
        }
    }

    private void CheckGraph(Graph graph, string where, HashSet<string> outer, bool tensorsOnly, bool ordered)
    {
        var own = new HashSet<string>(StringComparer.Ordinal);
        foreach (ValueInfo input in graph.Inputs)
        {
            Define(input.Name, own, $"{where}: input");
        }

        var initializers = new HashSet<string>(StringComparer.Ordinal);
        foreach (Tensor tensor in graph.Initializers)
        {
            DefineInitializer(tensor.Name, initializers, where, emptyAllowed: tensorsOnly);
            CheckTensor(tensor);
        }

        foreach (SparseTensor tensor in graph.SparseInitializers)
        {
            DefineInitializer(tensor.Values.Name, initializers, where, emptyAllowed: false);
        }

        own.UnionWith(initializers);
        var known = new HashSet<string>(outer, StringComparer.Ordinal);
        CheckNodes(graph.Nodes, known, where, ordered, own);
        foreach (ValueInfo output in graph.Outputs)
        {
            Resolve(output.Name, known, $"{where}: output");
        }
    }

    /// <param name="nodes">Nodes of one graph or function.</param>
    /// <param name="known">Names visible so far; grows. Starts with outer names.</param>
    /// <param name="where">For messages.</param>
    /// <param name="ordered">Whether a node must come after those it reads.</param>
    /// <param name="own">Names this graph defines already; outer names may be hidden, own ones may not be made twice.</param>
    private void CheckNodes(ImmutableArray<Node> nodes, HashSet<string> known, string where, bool ordered, HashSet<string>? own = null)
    {
        own ??= new HashSet<string>(known, StringComparer.Ordinal);
        known.UnionWith(own);
        HashSet<string> later = [.. nodes.SelectMany(n => n.Outputs)];
        if (!ordered)
        {
            known.UnionWith(later);
        }

        foreach (Node node in nodes)
        {
            foreach (string input in node.Inputs)
            {
                if (input.Length > 0 && !known.Contains(input))
                {
                    throw later.Contains(input)
                        ? new ModelPackException(ErrorCodes.GraphNotOrdered, $"{where}: node '{node.Handle}' reads '{input}' before it is made")
                        : Unresolved(input, $"{where}: node '{node.Handle}' reads");
                }
            }

            foreach (NodeAttribute attribute in node.Attributes)
            {
                CheckAttribute(node, attribute, known, ordered);
            }

            foreach (string output in node.Outputs)
            {
                if (output.Length > 0)
                {
                    Define(output, own, $"{where}: node '{node.Handle}' makes");
                    known.Add(output);
                }
            }
        }
    }

    private void CheckAttribute(Node node, NodeAttribute attribute, HashSet<string> known, bool ordered)
    {
        string where = $"node '{node.Handle}', attribute '{attribute.Name}'";
        switch (attribute.Value)
        {
            case AttributeValue.GraphValue g:
                CheckGraph(g.Value, where, known, tensorsOnly: false, ordered);
                break;
            case AttributeValue.GraphValues g:
                foreach (Graph graph in g.Values)
                {
                    CheckGraph(graph, where, known, tensorsOnly: false, ordered);
                }

                break;
            case AttributeValue.TensorValue t:
                CheckTensor(t.Value);
                break;
            case AttributeValue.TensorValues t:
                foreach (Tensor tensor in t.Values)
                {
                    CheckTensor(tensor);
                }

                break;
            default:
                break;
        }
    }

    private void CheckTensor(Tensor tensor)
    {
        if (tensor.Encoding.Shape != tensor.Shape)
        {
            throw Mismatch(tensor, $"shape {tensor.Shape}, but its encoding has {tensor.Encoding.Shape}");
        }

        CheckEncoding(tensor, tensor.Encoding);
    }

    private void CheckEncoding(Tensor tensor, WeightEncoding encoding)
    {
        switch (encoding)
        {
            case StructuredEncoding structured:
                Guarded(tensor, () => _validateStructure?.Invoke(structured));
                foreach (WeightEncoding component in structured.Components)
                {
                    CheckEncoding(tensor, component);
                }

                break;
            case DenseEncoding { Source: WeightEncoding source } pending:
                if (!pending.Streams.IsEmpty)
                {
                    throw Mismatch(tensor, $"{pending.Format} is pending and encoded at once");
                }

                if (source.Shape != pending.Shape)
                {
                    throw Mismatch(tensor, $"{pending.Format} has shape {pending.Shape}, its source {source.Shape}");
                }

                Guarded(tensor, () => _bind?.Invoke(pending.Format, pending.Shape));
                CheckEncoding(tensor, source);
                break;
            case DenseEncoding encoded:
                CheckStreams(tensor, encoded);
                break;
            default:
                throw Mismatch(tensor, $"unknown encoding {encoding.GetType().Name}");
        }
    }

    private void CheckStreams(Tensor tensor, DenseEncoding encoded)
    {
        if (DTypes.TryParse(encoded.Format.ToString(), out DType raw))
        {
            if (encoded.Streams is not [{ Role: "values" } values])
            {
                throw Mismatch(tensor, $"{encoded.Format} needs one stream 'values'");
            }

            if (raw.HasFixedWidth() && raw.StorageBytes(encoded.Shape.ElementCount) != values.Data.LengthBytes)
            {
                throw Mismatch(tensor, $"{encoded.Format}{encoded.Shape} needs {raw.StorageBytes(encoded.Shape.ElementCount)} bytes, not {values.Data.LengthBytes}");
            }

            return;
        }

        if (_bind is null)
        {
            return;
        }

        IBoundNumberFormat? bound = null;
        Guarded(tensor, () => bound = _bind(encoded.Format, encoded.Shape));
        IReadOnlyList<StreamLayout> layouts = bound!.Streams;
        if (!layouts.Select(l => l.Role).SequenceEqual(encoded.Streams.Select(s => s.Role), StringComparer.Ordinal))
        {
            throw Mismatch(tensor, $"{encoded.Format} has streams {string.Join(", ", layouts.Select(l => l.Role))}, not {string.Join(", ", encoded.Streams.Select(s => s.Role))}");
        }

        for (int i = 0; i < layouts.Count; i++)
        {
            long expected = layouts[i].BytesPerRow * bound.Shape.Rows;
            if (layouts[i].HasFixedLength && expected != encoded.Streams[i].Data.LengthBytes)
            {
                throw Mismatch(tensor, $"stream '{layouts[i].Role}' of {encoded.Format} needs {expected} bytes, not {encoded.Streams[i].Data.LengthBytes}");
            }
        }
    }

    /// <summary>Runs a format's or structure's own check and says which tensor it was about.</summary>
    private static void Guarded(Tensor tensor, Action check)
    {
        try
        {
            check();
        }
        catch (ModelPackException e)
        {
            throw new ModelPackException(ErrorCodes.EncodingMismatch, e.Message, tensor: tensor.Name, innerException: e);
        }
    }

    private static void DefineInitializer(string name, HashSet<string> initializers, string where, bool emptyAllowed)
    {
        if (name.Length == 0 && !emptyAllowed)
        {
            throw new ModelPackException(ErrorCodes.EmptyValueName, $"{where}: an initializer has no name");
        }

        if (!initializers.Add(name))
        {
            throw new ModelPackException(ErrorCodes.DuplicateInitializer, $"{where} has it twice", tensor: name);
        }
    }

    private static void Define(string name, HashSet<string> names, string what)
    {
        if (name.Length == 0)
        {
            throw new ModelPackException(ErrorCodes.EmptyValueName, $"{what} a value without a name");
        }

        if (!names.Add(name))
        {
            throw new ModelPackException(ErrorCodes.DuplicateValue, $"{what} '{name}', which is made already");
        }
    }

    private static void Resolve(string name, HashSet<string> known, string what)
    {
        if (name.Length == 0)
        {
            throw new ModelPackException(ErrorCodes.EmptyValueName, $"{what} without a name");
        }

        if (!known.Contains(name))
        {
            throw Unresolved(name, what);
        }
    }

    private static ModelPackException Unresolved(string name, string what) =>
        new(ErrorCodes.UnresolvedValue, $"{what} '{name}', which nothing makes");

    private static ModelPackException Mismatch(Tensor tensor, string detail) =>
        new(ErrorCodes.EncodingMismatch, detail, tensor: tensor.Name);
}
