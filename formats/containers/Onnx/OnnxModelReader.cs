using System.Buffers;
using Google.Protobuf;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx.Schema;

namespace ModelPack.Containers.Onnx;

/// <summary>Gives an external tensor of a weightless graph its encoding.</summary>
/// <param name="path">The tensor's path as in <see cref="ModelTensors"/>: for a main-graph initializer its name.</param>
/// <param name="placeholder">Name, dtype and shape as the graph has them; its data cannot be read.</param>
/// <returns>The tensor to put there, or null when it is unknown.</returns>
public delegate Tensor? BindTensor(string path, Tensor placeholder);

/// <summary>Reads ONNX models. Tensor bytes stay where they are.</summary>
public static class OnnxModelReader
{
    /// <summary>Imports a .onnx file.</summary>
    /// <exception cref="ModelPackException">MP1001-1003, MP1200-1237.</exception>
    public static ImportedModel Import(string path, CancellationToken cancellation = default)
    {
        MappedFile file = MappedFile.Open(path);
        var external = new ExternalFiles(path, file);
        try
        {
            Model model = Read(new ReadContext(file.Region(0, file.LengthBytes), file, external, cancellation));
            return new ImportedModel(model, [file, .. external.Opened]);
        }
        catch
        {
            external.Close();
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads a serialised ModelProto that holds all its tensors itself.</summary>
    /// <exception cref="ModelPackException">MP1200-1230; MP1253 when a tensor is external.</exception>
    public static Model Read(TensorData model, CancellationToken cancellation = default) => ReadWeightless(model, (_, _) => null, cancellation);

    /// <summary>Rebuilds a model from a weightless graph (<see cref="OnnxModelWriter.WriteWeightless(Model, Func{Tensor, bool}, Func{Tensor, TensorData})"/>).</summary>
    /// <param name="graph">The serialised graph; must stay readable while the model is used, small tensors lie in it.</param>
    /// <param name="bind">Asked for every external tensor.</param>
    /// <param name="cancellation">Stops reading.</param>
    /// <exception cref="ModelPackException">MP1200-1230; MP1253 when <paramref name="bind"/> gives null or another dtype or shape.</exception>
    public static Model ReadWeightless(TensorData graph, BindTensor bind, CancellationToken cancellation = default)
    {
        Model model = Read(new ReadContext(graph, null, null, cancellation));
        return ModelTensors.Replace(model, (path, tensor) =>
        {
            if (!tensor.TryGetRawData(out TensorData data) || data is not PlaceholderTensorData)
            {
                return tensor;
            }

            Tensor? bound = bind(path, tensor);
            return bound is not null && bound.DType == tensor.DType && bound.Shape == tensor.Shape
                ? bound with { Name = tensor.Name, Foreign = tensor.Foreign }
                : throw new ModelPackException(ErrorCodes.OnnxUnboundTensor, bound is null ? "is not in the artifact" : "has another dtype or shape in the artifact", null, path);
        });
    }

    /// <summary>Reads the model behind <paramref name="context"/>.</summary>
    internal static Model Read(ReadContext context)
    {
        ReadOnlyMemory<byte> slim = ModelScanner.Scan(context.Source, context.Path, context.Cancellation);
        ModelProto proto;
        try
        {
            proto = ModelProto.Parser.ParseFrom(new ReadOnlySequence<byte>(slim));
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new ModelPackException(ErrorCodes.OnnxWireFormat, $"not a valid model: {e.Message}", context.Path, innerException: e);
        }

        if (proto.Graph is null)
        {
            throw context.Error(ErrorCodes.OnnxNoGraph, "this is not an ONNX model: it holds no graph");
        }

        return Read(proto, context);
    }

    private static Model Read(ModelProto proto, ReadContext context)
    {
        var model = new Model
        {
            Kind = ModelKind.Onnx,
            Graph = GraphReader.Read(proto.Graph, context),
            Functions = [.. proto.Functions.Select(f => Read(f, context))],
            Training = [.. proto.TrainingInfo.Select(t => Read(t, context))],
            Opsets = OpsetTable.Read(proto.OpsetImport),
            IrVersion = proto.IrVersion,
            Metadata = [.. proto.MetadataProps.Select(e => KeyValuePair.Create(e.Key, e.Value))],
        };
        proto.Graph = null;
        proto.Functions.Clear();
        proto.TrainingInfo.Clear();
        proto.ClearIrVersion();

        // Opset imports stay in the remainder for their order and spelling; metadata only where an entry has more than key and value.
        if (proto.MetadataProps.All(e => e.CalculateSize() == new StringStringEntryProto { Key = e.Key, Value = e.Value }.CalculateSize()))
        {
            proto.MetadataProps.Clear();
        }

        return model with { Foreign = Foreign.Of(proto) };
    }

    private static Function Read(FunctionProto proto, ReadContext context)
    {
        var function = new Function
        {
            Name = proto.Name,
            Domain = proto.Domain == GraphReader.StandardDomain ? "" : proto.Domain,
            Overload = proto.Overload,
            Inputs = [.. proto.Input],
            Outputs = [.. proto.Output],
            Nodes = GraphReader.Read(proto.Node, context),
            AttributeDefaults = GraphReader.Read(proto.AttributeProto, context),
        };
        if (function.Name.Length > 0)
        {
            proto.ClearName();
        }

        if (function.Domain.Length > 0)
        {
            proto.ClearDomain();
        }

        if (function.Overload.Length > 0)
        {
            proto.ClearOverload();
        }

        proto.Input.Clear();
        proto.Output.Clear();
        proto.Node.Clear();
        proto.AttributeProto.Clear();
        return function with { Foreign = Foreign.Of(proto) };
    }

    private static TrainingInfo Read(TrainingInfoProto proto, ReadContext context)
    {
        Graph? initialization = proto.Initialization is null ? null : GraphReader.Read(proto.Initialization, context);
        Graph? algorithm = proto.Algorithm is null ? null : GraphReader.Read(proto.Algorithm, context);
        proto.Initialization = null;
        proto.Algorithm = null;
        return new TrainingInfo(initialization, algorithm, Foreign.Of(proto));
    }
}
