using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime.Graphs;

namespace ModelPack.Runtime.Native;

/// <summary>
/// The first session of a process costs ONNX Runtime about 0.1 s whatever the model: its library is loaded and all operators are registered. That is done beside the decoding of the weights, which
/// needs the other processors little at that time.
/// </summary>
internal static class OrtWarmUp
{
    private static readonly Lazy<Task> Once = new(() => Task.Run(OpenTinySession));

    /// <summary>Begins, the first time it is called; later calls do nothing. Never fails: whatever is wrong with ONNX Runtime is found and told by the session that is wanted.</summary>
    public static void Begin()
    {
        if (Environment.ProcessorCount > 1)
        {
            _ = Once.Value;
        }
    }

    private static void OpenTinySession()
    {
        try
        {
            using var options = new SessionOptions { IntraOpNumThreads = 1, InterOpNumThreads = 1, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
            using var session = new InferenceSession(TinyModel(), options);
        }
        catch (Exception e) when (e is OnnxRuntimeException or DllNotFoundException or EntryPointNotFoundException or TypeInitializationException)
        {
            // The session that is wanted meets the same and says so.
        }
    }

    /// <summary>y = Relu(x) of one value, as an ONNX ModelProto.</summary>
    internal static byte[] TinyModel()
    {
        var node = new ProtoBuffer(32);
        node.Bytes(1, "x"u8);
        node.Bytes(2, "y"u8);
        node.Bytes(4, "Relu"u8);
        var graph = new ProtoBuffer(128);
        graph.Bytes(1, node.Written);
        graph.Bytes(2, "g"u8);
        graph.Bytes(11, Value("x"u8).Written);
        graph.Bytes(12, Value("y"u8).Written);
        var opset = new ProtoBuffer(16);
        opset.Varint(2, 13);
        var model = new ProtoBuffer(256);
        model.Varint(1, 7);
        model.Bytes(7, graph.Written);
        model.Bytes(8, opset.Written);
        return model.ToArray();
    }

    /// <summary>A ValueInfoProto: f32[1].</summary>
    private static ProtoBuffer Value(ReadOnlySpan<byte> name)
    {
        var dim = new ProtoBuffer(16);
        dim.Varint(1, 1);
        var shape = new ProtoBuffer(16);
        shape.Bytes(1, dim.Written);
        var tensor = new ProtoBuffer(32);
        tensor.Varint(1, 1);
        tensor.Bytes(2, shape.Written);
        var type = new ProtoBuffer(32);
        type.Bytes(1, tensor.Written);
        var value = new ProtoBuffer(64);
        value.Bytes(1, name);
        value.Bytes(2, type.Written);
        return value;
    }
}
