using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime.Native;

namespace ModelPack.Tests.Runtime;

/// <summary>Models with the own operators inside ONNX Runtime.</summary>
internal static class OperatorSession
{
    public static InferenceSession Open(byte[] model, int threads = 0)
    {
        using var options = new SessionOptions { IntraOpNumThreads = threads, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        OrtTable.AddOperators(options);
        return new InferenceSession(model, options);
    }

    /// <summary>The output 'y' of an input 'x'.</summary>
    public static float[] Run(InferenceSession session, float[] x, long[] shape, out long[] outputShape)
    {
        using OrtValue input = OrtValue.CreateTensorValueFromMemory(x, shape);
        using var options = new RunOptions();
        using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(options, ["x"], [input], ["y"]);
        outputShape = outputs[0].GetTensorTypeAndShape().Shape;
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }
}
