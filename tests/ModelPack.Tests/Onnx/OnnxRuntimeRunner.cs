using Microsoft.ML.OnnxRuntime;
using ModelPack.Testing;

namespace ModelPack.Tests.Onnx;

/// <summary>Runs models in ONNX Runtime on seeded inputs and gives the bits of the outputs.</summary>
internal static class OnnxRuntimeRunner
{
    /// <summary>Outputs as lines of name, shape and bytes, over several inputs.</summary>
    public static IReadOnlyList<string> Run(string path, int dynamicSize = 1, Action<string, Array>? adjust = null)
    {
        using var options = new SessionOptions { IntraOpNumThreads = 1, InterOpNumThreads = 1 };
        options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        using var session = new InferenceSession(path, options);
        var lines = new List<string>();
        for (ulong seed = 1; seed <= 2; seed++)
        {
            var inputs = new Dictionary<string, OrtValue>();
            foreach ((string name, NodeMetadata meta) in session.InputMetadata)
            {
                long[] shape = [.. meta.Dimensions.Select(d => d < 0 ? (long)dynamicSize : d)];
                int count = (int)shape.Aggregate(1L, (a, b) => a * b);
                inputs[name] = Input(meta.ElementType, shape, count, new SplitMix(seed), array => adjust?.Invoke(name, array));
            }

            using var run = new RunOptions();
            using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(run, inputs, session.OutputNames);
            for (int i = 0; i < outputs.Count; i++)
            {
                OrtTensorTypeAndShapeInfo info = outputs[i].GetTensorTypeAndShape();
                lines.Add($"{session.OutputNames[i]} [{string.Join(',', info.Shape)}] {Convert.ToHexString(outputs[i].GetTensorDataAsSpan<byte>())}");
            }

            foreach (OrtValue value in inputs.Values)
            {
                value.Dispose();
            }
        }

        return lines;
    }

    private static OrtValue Input(Type type, long[] shape, int count, SplitMix random, Action<Array> adjust)
    {
        OrtValue Make<T>(Func<T> next)
            where T : unmanaged
        {
            var values = new T[count];
            for (int i = 0; i < count; i++)
            {
                values[i] = next();
            }

            adjust(values);
            return OrtValue.CreateTensorValueFromMemory(values, shape);
        }

        return type == typeof(float) ? Make(() => ((int)(random.Next() >> 40) - (1 << 23)) / (float)(1 << 23))
            : type == typeof(long) ? Make(() => (long)random.Below(4))
            : type == typeof(int) ? Make(() => random.Below(4))
            : type == typeof(bool) ? Make(random.Flip)
            : throw new NotSupportedException(type.Name);
    }
}
