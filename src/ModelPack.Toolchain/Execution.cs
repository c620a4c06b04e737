using System.Diagnostics;
using System.Globalization;
using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>Runs a model once.</summary>
public static class Execution
{
    private const int ShownValues = 8;

    /// <summary>Runs an artifact or .onnx file.</summary>
    /// <param name="model">The model.</param>
    /// <param name="inputs">One <c>name=file.npy</c> or <c>name=random</c> per input.</param>
    /// <param name="outputFolder">Folder for outputs as .npy files; null to write none.</param>
    /// <param name="seed">Seed of random inputs.</param>
    /// <param name="threads">Threads of the run; 0 means all cores.</param>
    /// <param name="weights">Where weights of artifacts are kept; null: in memory.</param>
    /// <param name="cancellation">Checked before the run.</param>
    /// <exception cref="ModelPackException">The model or an input is bad.</exception>
    public static RunResult Run(
        string model, IReadOnlyList<string> inputs, string? outputFolder = null, ulong seed = 0, int threads = 0, WeightStorage? weights = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using ModelSession session = ModelInput.Open(model, WeightStorage.Options(threads, weights));
        double load = Stopwatch.GetElapsedTime(start).TotalSeconds;
        NamedTensor[] tensors = [.. inputs.Select((text, i) => Parse(session, text, seed + (ulong)i))];
        cancellation.ThrowIfCancellationRequested();
        start = Stopwatch.GetTimestamp();
        IReadOnlyList<NamedTensor> outputs = session.Run(tensors);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (outputFolder is not null)
        {
            Directory.CreateDirectory(outputFolder);
        }

        return new RunResult
        {
            Model = model,
            Outputs = [.. outputs.Select(o => Save(o, outputFolder, cancellation))],
            Seconds = seconds,
            LoadSeconds = load,
        };
    }

    private static NamedTensor Parse(ModelSession session, string text, ulong seed)
    {
        int equals = text.LastIndexOf('=');
        if (equals <= 0)
        {
            throw new ModelPackException(ErrorCodes.BadSample, $"'{text}' is not of the form name=file.npy or name=random", session.Path);
        }

        string name = text[..equals];
        string value = text[(equals + 1)..];
        if (value != "random")
        {
            return SampleInputs.FromFile(name, value);
        }

        ModelValue input = session.Inputs.FirstOrDefault(i => i.Name == name)
            ?? throw new ModelPackException(ErrorCodes.BadInput, $"no input '{name}'; there are: {string.Join(", ", session.Inputs.Select(i => i.ToString()))}", session.Path);
        return SampleInputs.Random(input, seed);
    }

    private static RunOutput Save(NamedTensor output, string? folder, CancellationToken cancellation)
    {
        string? file = folder is null ? null : Path.Combine(folder, SampleInputs.FileName(output.Name));
        if (file is not null)
        {
            NpyFile.Write(file, output.DType, output.Shape, TensorData.FromBytes(output.Bytes.ToArray()), cancellation);
        }

        return new RunOutput(output.Name, output.Shape.Dims, output.DType.Name(), file, FirstValues(output));
    }

    private static double[] FirstValues(NamedTensor output)
    {
        int n = (int)Math.Min(ShownValues, output.Shape.ElementCount);
        var values = new double[n];
        for (int i = 0; i < n; i++)
        {
            values[i] = output.DType switch
            {
                DType.F32 => output.Values<float>()[i],
                DType.F64 => output.Values<double>()[i],
                DType.F16 => (double)output.Values<Half>()[i],
                DType.I64 => output.Values<long>()[i],
                DType.I32 => output.Values<int>()[i],
                DType.Bool => Convert.ToDouble(output.Values<bool>()[i], CultureInfo.InvariantCulture),
                _ => output.Bytes[i * Math.Max(1, output.DType.BitsPerElement() / 8)],
            };
        }

        return values;
    }
}
