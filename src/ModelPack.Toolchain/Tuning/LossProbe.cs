using System.Collections.Immutable;
using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Containers.Onnx;
using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>
/// Measures how far outputs move when some weights are encoded. For language models that is the mean Kullback-Leibler divergence of the predicted words from those of the float model, in nats: about what the
/// negative log likelihood grows by, with a hundredth of its noise. For other models it is the noise of the outputs divided by their power, a mean over the outputs.
/// </summary>
internal sealed class LossProbe : ILossProbe
{
    private readonly CalibrationSamples _samples;
    private readonly CalibrationLimits _limits;
    private readonly int _count;
    private readonly Dictionary<string, Tensor> _weights;
    private readonly byte[] _graph;
    private readonly ImmutableArray<ModelValue> _inputs;
    private readonly ImmutableArray<ModelValue> _results;
    private readonly string[] _outputs;
    private readonly SampleValues _reference;

    /// <param name="model">The model as it is before anything is encoded.</param>
    /// <param name="samples">The data; stay the caller's.</param>
    /// <param name="count">How many of the samples are run, spread over all.</param>
    /// <param name="limits">Threads, memory, cancellation.</param>
    /// <exception cref="ModelPackException">MP2213: the data do not fit the model.</exception>
    public LossProbe(Model model, CalibrationSamples samples, int count, CalibrationLimits limits)
    {
        _samples = samples;
        _limits = limits;
        _count = Math.Clamp(count, 1, samples.Info.Samples);
        _weights = model.Graph.Initializers.Where(ArtifactContent.IsExternal).ToDictionary(t => t.Name, StringComparer.Ordinal);
        _graph = OnnxModelWriter.WriteWeightless(model, t => _weights.TryGetValue(t.Name, out Tensor? known) && ReferenceEquals(known, t), ArtifactContent.Dense);
        _inputs = CalibrationSamples.Describe(model.Graph.FreeInputs());
        _results = CalibrationSamples.Describe(model.Graph.Outputs);
        IsLanguageModel = samples.Info.Kind == "tokens";
        _outputs = IsLanguageModel
            ? [LanguageModelSignature.Of(_inputs, _results, samples.Path, samples.Info.Window).Logits]
            : [.. _results.Where(r => r.DType == DType.F32).Select(r => r.Name)];
        if (_outputs.Length == 0)
        {
            throw new ModelPackException(ErrorCodes.CalibrationData, "the model has no f32 output by which its loss could be measured", samples.Path);
        }

        _reference = new SampleValues(_count, new SampleBudget(limits.MaxMemoryBytes / 4));
        try
        {
            Run(ImmutableDictionary<string, Tensor>.Empty, (sample, outputs) =>
            {
                lock (_reference)
                {
                    foreach (string name in _outputs)
                    {
                        _reference.Add(sample, name, outputs[name]);
                    }
                }
            });
        }
        catch
        {
            _reference.Dispose();
            throw;
        }
    }

    /// <summary>Samples that are run.</summary>
    public int Count => _count;

    /// <summary>True when the loss is a divergence in nats.</summary>
    public bool IsLanguageModel { get; }

    /// <summary>The loss with some weights replaced.</summary>
    /// <param name="replaced">Weights by name; pending encodings count as what they will become.</param>
    public double Measure(IReadOnlyDictionary<string, Tensor> replaced)
    {
        double[] losses = new double[_count];
        Run(replaced, (sample, outputs) => losses[sample] = Loss(sample, outputs));
        double sum = 0;
        foreach (double loss in losses)
        {
            sum += loss;
        }

        double mean = sum / _count;
        return double.IsFinite(mean) ? mean : Ruined;
    }

    /// <summary>The loss of a model that gives NaN: worse than any other.</summary>
    public const double Ruined = 1e9;

    public void Dispose() => _reference.Dispose();

    private double Loss(int sample, ModelOutputs outputs)
    {
        double total = 0;
        foreach (string name in _outputs)
        {
            SampleValues.Stored stored = _reference[sample, name];
            using OrtValue expected = SampleValues.ToOrt(stored.DType, stored.Dims, stored.Data);
            ReadOnlySpan<float> a = stored.Data.LengthBytes == 0 ? [] : expected.GetTensorDataAsSpan<float>();
            OrtTensorTypeAndShapeInfo info = outputs[name].GetTensorTypeAndShape();
            if (!info.Shape.AsSpan().SequenceEqual(stored.Dims))
            {
                return Ruined; // A detector that finds another number of things.
            }

            ReadOnlySpan<float> b = a.IsEmpty ? [] : outputs[name].GetTensorDataAsSpan<float>();
            total += IsLanguageModel ? MeanDivergence(a, b, (int)info.Shape[^1]) : NoiseToSignal(a, b);
        }

        return total / _outputs.Length;
    }

    private static double MeanDivergence(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, int vocabulary)
    {
        double sum = 0;
        int rows = expected.Length / vocabulary;
        for (int r = 0; r < rows; r++)
        {
            sum += Divergence.Of(expected.Slice(r * vocabulary, vocabulary), actual.Slice(r * vocabulary, vocabulary));
        }

        return sum / rows;
    }

    private static double NoiseToSignal(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        double noise = 0;
        double signal = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double difference = expected[i].Equals(actual[i]) ? 0 : (double)actual[i] - expected[i];
            noise += difference * difference;
            signal += (double)expected[i] * expected[i];
        }

        return noise == 0 ? 0 : noise / signal;
    }

    /// <summary>Runs the samples, each on one thread: results do not depend on their number.</summary>
    private void Run(IReadOnlyDictionary<string, Tensor> replaced, Action<int, ModelOutputs> use)
    {
        var weights = new Dictionary<string, Tensor>(_weights, StringComparer.Ordinal);
        foreach ((string name, Tensor tensor) in replaced)
        {
            weights[name] = tensor;
        }

        using PackedModel session = PackedModel.Open(_samples.Path, new ModelWeights(_graph, weights), new ModelSessionOptions { ExpandAll = true, Threads = 1, LoadThreads = _limits.Threads });
        try
        {
            // The first one alone: where inputs of later samples are the same, its bytes are shared.
            RunOne(session, 0, use);
            Parallel.For(1, _count, new ParallelOptions { MaxDegreeOfParallelism = _limits.Threads, CancellationToken = _limits.Cancellation }, sample => RunOne(session, sample, use));
        }
        catch (AggregateException e)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }

    private void RunOne(PackedModel session, int sample, Action<int, ModelOutputs> use)
    {
        Dictionary<string, OrtValue> inputs = _samples.Read(_inputs, _results, (int)((long)sample * _samples.Info.Samples / _count));
        try
        {
            using ModelOutputs outputs = session.Run(inputs, _outputs);
            use(sample, outputs);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.RunFailed)
        {
            throw new ModelPackException(ErrorCodes.CalibrationData, string.Create(CultureInfo.InvariantCulture, $"the model fails on sample {sample}: {e.Message}"), _samples.Path, innerException: e);
        }
        finally
        {
            foreach (OrtValue value in inputs.Values)
            {
                value.Dispose();
            }
        }
    }
}
