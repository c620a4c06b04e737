using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx.Schema;
using Kind = ModelPack.Containers.Onnx.Schema.AttributeProto.Types.AttributeType;

namespace ModelPack.Containers.Onnx;

/// <summary>
/// GraphProto, NodeProto and AttributeProto to the IR. Each message loses the fields that the IR models; the rest is kept as
/// <see cref="ForeignFields"/>. Nesting is bounded by the scanner.
/// </summary>
internal static class GraphReader
{
    /// <summary>The explicit spelling of the standard domain; normalised to the empty string.</summary>
    public const string StandardDomain = "ai.onnx";

    public static Graph Read(GraphProto proto, ReadContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        ImmutableArray<Tensor> initializers = [.. proto.Initializer.Select(t => TensorReader.Read(t, context))];
        ImmutableArray<SparseTensor> sparse = [.. proto.SparseInitializer.Select(t => Read(t, context))];
        CheckNames(initializers, sparse, context);
        var graph = new Graph
        {
            Name = proto.Name,
            Inputs = [.. proto.Input.Select(TypeReader.Read)],
            Outputs = [.. proto.Output.Select(TypeReader.Read)],
            Nodes = Read(proto.Node, context),
            Initializers = initializers,
            SparseInitializers = sparse,
            ValueInfos = [.. proto.ValueInfo.Select(TypeReader.Read)],
        };
        if (proto.Name.Length > 0)
        {
            proto.ClearName();
        }

        proto.Input.Clear();
        proto.Output.Clear();
        proto.Node.Clear();
        proto.Initializer.Clear();
        proto.SparseInitializer.Clear();
        proto.ValueInfo.Clear();
        return graph with { Foreign = Foreign.Of(proto) };
    }

    public static ImmutableArray<Node> Read(IReadOnlyList<NodeProto> nodes, ReadContext context) => [.. nodes.Select(n => Read(n, context))];

    public static ImmutableArray<NodeAttribute> Read(IReadOnlyList<AttributeProto> attributes, ReadContext context) =>
        [.. attributes.Select(a => Read(a, context))];

    private static Node Read(NodeProto proto, ReadContext context)
    {
        var node = new Node
        {
            Name = proto.Name,
            OpType = proto.OpType,
            Domain = proto.Domain == StandardDomain ? "" : proto.Domain,
            Inputs = [.. proto.Input],
            Outputs = [.. proto.Output],
            Attributes = Read(proto.Attribute, context),
        };
        if (proto.Name.Length > 0)
        {
            proto.ClearName();
        }

        // What is left of the domain is "" or "ai.onnx": its spelling comes back as long as the node stays in the standard domain.
        if (node.Domain.Length > 0)
        {
            proto.ClearDomain();
        }

        if (node.OpType.Length > 0)
        {
            proto.ClearOpType();
        }

        proto.Input.Clear();
        proto.Output.Clear();
        proto.Attribute.Clear();
        return node with { Foreign = Foreign.Of(proto) };
    }

    private static NodeAttribute Read(AttributeProto proto, ReadContext context)
    {
        string name = proto.Name;
        AttributeValue? value = proto.RefAttrName.Length > 0 ? Reference(proto) : Value(proto, context);
        if (proto.T is not null || proto.G is not null || proto.SparseTensor is not null || proto.Tensors.Count + proto.Graphs.Count + proto.SparseTensors.Count > 0)
        {
            throw context.Error(ErrorCodes.OnnxAttribute, $"attribute '{name}' holds a value of another kind than its type, {Infer(proto)}, says");
        }

        if (name.Length > 0)
        {
            proto.ClearName();
        }

        return value is null
            ? new NodeAttribute(name, new AttributeValue.Opaque(Foreign.Of(proto)))
            : new NodeAttribute(name, value, Foreign.Of(proto));
    }

    private static AttributeValue.Reference Reference(AttributeProto proto)
    {
        // The declared type stays in the remainder: the IR has no place for it.
        var reference = new AttributeValue.Reference(proto.RefAttrName);
        proto.ClearRefAttrName();
        return reference;
    }

    /// <summary>The value, with its field and the type cleared; null for kinds that stay opaque.</summary>
    private static AttributeValue? Value(AttributeProto proto, ReadContext context)
    {
        AttributeValue? value;
        switch (Infer(proto))
        {
            case Kind.Float:
                value = new AttributeValue.Float(proto.F);
                proto.ClearF();
                break;
            case Kind.Int:
                value = new AttributeValue.Int(proto.I);
                proto.ClearI();
                break;
            case Kind.String:
                value = new AttributeValue.Text(proto.S.Memory);
                proto.ClearS();
                break;
            case Kind.Tensor when proto.T is not null:
                value = new AttributeValue.TensorValue(TensorReader.Read(proto.T, context));
                proto.T = null;
                break;
            case Kind.Graph when proto.G is not null:
                value = new AttributeValue.GraphValue(Read(proto.G, context));
                proto.G = null;
                break;
            case Kind.SparseTensor when proto.SparseTensor is not null:
                value = new AttributeValue.SparseValue(Read(proto.SparseTensor, context));
                proto.SparseTensor = null;
                break;
            case Kind.Floats:
                value = new AttributeValue.Floats([.. proto.Floats]);
                proto.Floats.Clear();
                break;
            case Kind.Ints:
                value = new AttributeValue.Ints([.. proto.Ints]);
                proto.Ints.Clear();
                break;
            case Kind.Strings:
                value = new AttributeValue.Texts([.. proto.Strings.Select(s => new AttributeValue.Text(s.Memory))]);
                proto.Strings.Clear();
                break;
            case Kind.Tensors:
                value = new AttributeValue.TensorValues([.. proto.Tensors.Select(t => TensorReader.Read(t, context))]);
                proto.Tensors.Clear();
                break;
            case Kind.Graphs:
                value = new AttributeValue.GraphValues([.. proto.Graphs.Select(g => Read(g, context))]);
                proto.Graphs.Clear();
                break;
            case Kind.SparseTensors:
                value = new AttributeValue.SparseValues([.. proto.SparseTensors.Select(s => Read(s, context))]);
                proto.SparseTensors.Clear();
                break;
            default:
                return null;
        }

        proto.ClearType();
        return value;
    }

    /// <summary>The declared type; where none is declared (IR version 1), the field that is present.</summary>
    private static Kind Infer(AttributeProto proto) => proto switch
    {
        { Type: not Kind.Undefined } => proto.Type,
        { HasF: true } => Kind.Float,
        { HasI: true } => Kind.Int,
        { HasS: true } => Kind.String,
        { T: not null } => Kind.Tensor,
        { G: not null } => Kind.Graph,
        { SparseTensor: not null } => Kind.SparseTensor,
        { Floats.Count: > 0 } => Kind.Floats,
        { Ints.Count: > 0 } => Kind.Ints,
        { Strings.Count: > 0 } => Kind.Strings,
        { Tensors.Count: > 0 } => Kind.Tensors,
        { Graphs.Count: > 0 } => Kind.Graphs,
        { SparseTensors.Count: > 0 } => Kind.SparseTensors,
        _ => Kind.Undefined,
    };

    private static SparseTensor Read(SparseTensorProto proto, ReadContext context)
    {
        string name = proto.Values?.Name ?? "";
        if (proto.Values is null || proto.Indices is null)
        {
            throw context.Error(ErrorCodes.OnnxTensorFields, "a sparse tensor needs both values and indices", name);
        }

        Shape shape = TensorReader.ReadShape(proto.Dims, name, context);
        Tensor values = TensorReader.Read(proto.Values, context);
        Tensor indices = TensorReader.Read(proto.Indices, context);
        proto.Values = null;
        proto.Indices = null;
        proto.Dims.Clear();
        return new SparseTensor(values, indices, shape, Foreign.Of(proto));
    }

    private static void CheckNames(ImmutableArray<Tensor> initializers, ImmutableArray<SparseTensor> sparse, ReadContext context)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (string name in initializers.Select(t => t.Name).Concat(sparse.Select(s => s.Values.Name)))
        {
            if (name.Length == 0)
            {
                throw context.Error(ErrorCodes.OnnxInitializerName, "an initializer has no name");
            }

            if (!names.Add(name))
            {
                throw context.Error(ErrorCodes.OnnxDuplicateInitializer, "two initializers have this name", name);
            }
        }
    }
}
