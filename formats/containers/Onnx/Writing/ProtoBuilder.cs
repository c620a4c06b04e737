using Google.Protobuf;
using Google.Protobuf.Collections;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx.Schema;
using Kind = ModelPack.Containers.Onnx.Schema.AttributeProto.Types.AttributeType;
using ValueType = ModelPack.Compiler.ValueType;

namespace ModelPack.Containers.Onnx;

/// <summary>The IR back to protobuf messages: every message starts from its remainder and gets the modelled fields.</summary>
/// <param name="tensors">Decides where each tensor's bytes go and fills in the data part of its message.</param>
internal sealed class ProtoBuilder(Action<Tensor, TensorProto> tensors)
{
    private long _minIrVersion = 1;

    public ModelProto Build(Model model)
    {
        ModelProto proto = Foreign.Parse(model.Foreign, ModelProto.Parser);
        proto.Graph = Build(model.Graph);
        proto.Functions.AddRange(model.Functions.Select(Build));
        proto.TrainingInfo.AddRange(model.Training.Select(Build));
        OpsetTable.Write(proto.OpsetImport, model.Opsets);
        WriteMetadata(proto.MetadataProps, model.Metadata);
        Need(model.Functions.IsEmpty ? 1 : 8);
        proto.IrVersion = Math.Max(model.IrVersion, Math.Max(_minIrVersion, NeedsFreeInitializers(model.Graph) ? 4 : 1));
        return proto;
    }

    private static void WriteMetadata(RepeatedField<StringStringEntryProto> entries, IReadOnlyList<KeyValuePair<string, string>> metadata)
    {
        bool same = entries.Count == metadata.Count && entries.Zip(metadata).All(p => p.First.Key == p.Second.Key && p.First.Value == p.Second.Value);
        if (!same)
        {
            entries.Clear();
            entries.AddRange(metadata.Select(m => new StringStringEntryProto { Key = m.Key, Value = m.Value }));
        }
    }

    /// <summary>Before IR version 4 every initializer had to be a graph input as well.</summary>
    private static bool NeedsFreeInitializers(Graph graph)
    {
        var inputs = graph.Inputs.Select(i => i.Name).ToHashSet(StringComparer.Ordinal);
        return graph.Initializers.Any(t => !inputs.Contains(t.Name));
    }

    private void Need(long irVersion) => _minIrVersion = Math.Max(_minIrVersion, irVersion);

    private GraphProto Build(Graph graph)
    {
        GraphProto proto = Foreign.Parse(graph.Foreign, GraphProto.Parser);
        if (graph.Name.Length > 0)
        {
            proto.Name = graph.Name;
        }

        proto.Input.AddRange(graph.Inputs.Select(Build));
        proto.Output.AddRange(graph.Outputs.Select(Build));
        proto.ValueInfo.AddRange(graph.ValueInfos.Select(Build));
        proto.Node.AddRange(graph.Nodes.Select(Build));
        proto.Initializer.AddRange(graph.Initializers.Select(Build));
        proto.SparseInitializer.AddRange(graph.SparseInitializers.Select(Build));
        Need(graph.SparseInitializers.IsEmpty ? 1 : 6);
        return proto;
    }

    private NodeProto Build(Node node)
    {
        NodeProto proto = Foreign.Parse(node.Foreign, NodeProto.Parser);
        if (node.Name.Length > 0)
        {
            proto.Name = node.Name;
        }

        if (node.Domain.Length > 0)
        {
            proto.Domain = node.Domain;
        }

        if (node.OpType.Length > 0)
        {
            proto.OpType = node.OpType;
        }

        proto.Input.AddRange(node.Inputs);
        proto.Output.AddRange(node.Outputs);
        proto.Attribute.AddRange(node.Attributes.Select(Build));
        return proto;
    }

    private AttributeProto Build(NodeAttribute attribute)
    {
        ForeignFields start = attribute.Value is AttributeValue.Opaque opaque ? opaque.Value : attribute.Foreign;
        AttributeProto proto = Foreign.Parse(start, AttributeProto.Parser);
        if (attribute.Name.Length > 0)
        {
            proto.Name = attribute.Name;
        }

        switch (attribute.Value)
        {
            case AttributeValue.Float v:
                (proto.Type, proto.F) = (Kind.Float, v.Value);
                break;
            case AttributeValue.Int v:
                (proto.Type, proto.I) = (Kind.Int, v.Value);
                break;
            case AttributeValue.Text v:
                (proto.Type, proto.S) = (Kind.String, UnsafeByteOperations.UnsafeWrap(v.Value));
                break;
            case AttributeValue.TensorValue v:
                (proto.Type, proto.T) = (Kind.Tensor, Build(v.Value));
                break;
            case AttributeValue.GraphValue v:
                (proto.Type, proto.G) = (Kind.Graph, Build(v.Value));
                break;
            case AttributeValue.SparseValue v:
                (proto.Type, proto.SparseTensor) = (Kind.SparseTensor, Build(v.Value));
                break;
            case AttributeValue.Floats v:
                proto.Type = Kind.Floats;
                proto.Floats.AddRange(v.Values);
                break;
            case AttributeValue.Ints v:
                proto.Type = Kind.Ints;
                proto.Ints.AddRange(v.Values);
                break;
            case AttributeValue.Texts v:
                proto.Type = Kind.Strings;
                proto.Strings.AddRange(v.Values.Select(t => UnsafeByteOperations.UnsafeWrap(t.Value)));
                break;
            case AttributeValue.TensorValues v:
                proto.Type = Kind.Tensors;
                proto.Tensors.AddRange(v.Values.Select(Build));
                break;
            case AttributeValue.GraphValues v:
                proto.Type = Kind.Graphs;
                proto.Graphs.AddRange(v.Values.Select(Build));
                break;
            case AttributeValue.SparseValues v:
                proto.Type = Kind.SparseTensors;
                proto.SparseTensors.AddRange(v.Values.Select(Build));
                break;
            case AttributeValue.Reference v:
                proto.RefAttrName = v.AttributeName;
                break;
        }

        return proto;
    }

    private TensorProto Build(Tensor tensor)
    {
        TensorProto proto = Foreign.Parse(tensor.Foreign, TensorProto.Parser);
        int number = OnnxDTypes.ToNumber(tensor.DType);
        if (number == 0)
        {
            throw new ModelPackException(ErrorCodes.OnnxDType, $"ONNX has no type {tensor.DType.Name()}", null, tensor.Name);
        }

        if (tensor.Name.Length > 0)
        {
            proto.Name = tensor.Name;
        }

        proto.DataType = number;
        proto.Dims.AddRange(tensor.Shape.Dims);
        tensors(tensor, proto);
        Need(OnnxDTypes.MinIrVersion(tensor.DType));
        return proto;
    }

    private SparseTensorProto Build(SparseTensor sparse)
    {
        SparseTensorProto proto = Foreign.Parse(sparse.Foreign, SparseTensorProto.Parser);
        proto.Values = Build(sparse.Values);
        proto.Indices = Build(sparse.Indices);
        proto.Dims.AddRange(sparse.Shape.Dims);
        return proto;
    }

    private ValueInfoProto Build(ValueInfo info)
    {
        ValueInfoProto proto = Foreign.Parse(info.Foreign, ValueInfoProto.Parser);
        if (info.Name.Length > 0)
        {
            proto.Name = info.Name;
        }

        if (info.Type == ValueType.Unknown)
        {
            return proto;
        }

        TypeProto type = Foreign.Parse(info.Type.Foreign, TypeProto.Parser);
        proto.Type = type;
        if (info.Type.IsTensor)
        {
            Need(OnnxDTypes.MinIrVersion(info.Type.DType));
            type.TensorType ??= new TypeProto.Types.Tensor();
            type.TensorType.ElemType = OnnxDTypes.ToNumber(info.Type.DType);
            if (!info.Type.Dims.IsDefault)
            {
                type.TensorType.Shape ??= new TensorShapeProto();
                type.TensorType.Shape.Dim.AddRange(info.Type.Dims.Select(Build));
            }
        }

        return proto;
    }

    private static TensorShapeProto.Types.Dimension Build(Dimension dimension)
    {
        TensorShapeProto.Types.Dimension proto = Foreign.Parse(dimension.Foreign, TensorShapeProto.Types.Dimension.Parser);
        if (dimension.Value is long value)
        {
            proto.DimValue = value;
        }
        else if (dimension.Symbol is string symbol)
        {
            proto.DimParam = symbol;
        }

        return proto;
    }

    private FunctionProto Build(Function function)
    {
        FunctionProto proto = Foreign.Parse(function.Foreign, FunctionProto.Parser);
        if (function.Name.Length > 0)
        {
            proto.Name = function.Name;
        }

        if (function.Domain.Length > 0)
        {
            proto.Domain = function.Domain;
        }

        if (function.Overload.Length > 0)
        {
            proto.Overload = function.Overload;
        }

        proto.Input.AddRange(function.Inputs);
        proto.Output.AddRange(function.Outputs);
        proto.Node.AddRange(function.Nodes.Select(Build));
        proto.AttributeProto.AddRange(function.AttributeDefaults.Select(Build));
        return proto;
    }

    private TrainingInfoProto Build(TrainingInfo training)
    {
        TrainingInfoProto proto = Foreign.Parse(training.Foreign, TrainingInfoProto.Parser);
        proto.Initialization = training.Initialization is { } i ? Build(i) : null;
        proto.Algorithm = training.Algorithm is { } a ? Build(a) : null;
        return proto;
    }
}
