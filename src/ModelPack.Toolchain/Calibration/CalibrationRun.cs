using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Containers.Onnx;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>
/// Runs the samples through the graph piece by piece. A piece ends where the taps asked for are known; the values that later nodes need are kept for every sample, so that every node runs once per sample however
/// many pieces there are, only the weights of one piece are in memory, and a piece may use weights that were compressed with the statistics of the pieces before.
/// </summary>
/// <remarks>
/// (Giving all taps out of one run of the whole graph would need all weights and all taps of a sample at once, and could not see compressed weights.) Samples run on several threads, each on one thread by itself,
/// and are added up in their order: statistics do not depend on the number of threads. They do depend, in their last bits, on the processor, as all that ONNX Runtime computes.
/// </remarks>
internal sealed class CalibrationRun : ICalibrationRun
{
    /// <summary>Smaller initializers stay in the graph, where shape inference sees them.</summary>
    private const long MinExternalBytes = 1024;

    private readonly Model _model;
    private readonly CalibrationSamples _samples;
    private readonly GraphSlices _slices;
    private readonly Dictionary<string, Tensor> _replaced = new(StringComparer.Ordinal);
    private readonly CalibrationLimits _limits;
    private readonly ImmutableArray<ModelValue> _inputs;
    private readonly ImmutableArray<ModelValue> _outputs;
    private SampleValues _values;
    private int _position;

    /// <param name="model">A model with a graph.</param>
    /// <param name="samples">The data; stay the caller's.</param>
    /// <param name="limits">Threads, memory, cancellation.</param>
    /// <exception cref="ModelPackException">MP2213, MP2218.</exception>
    public CalibrationRun(Model model, CalibrationSamples samples, CalibrationLimits limits)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph that could be run on calibration data: give the model as .onnx");
        }

        _model = model;
        _samples = samples;
        _limits = limits;
        _slices = new GraphSlices(model);
        var constants = model.Graph.Initializers.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        _inputs = CalibrationSamples.Describe(model.Graph.Inputs.Where(i => !constants.Contains(i.Name)));
        _outputs = CalibrationSamples.Describe(model.Graph.Outputs);
        _values = new SampleValues(samples.Info.Samples, limits.MaxMemoryBytes / 4);
        for (int i = 0; i < samples.Info.Samples; i++)
        {
            limits.Cancellation.ThrowIfCancellationRequested();
            Dictionary<string, OrtValue> read = samples.Read(_inputs, _outputs, i);
            foreach ((string name, OrtValue value) in read)
            {
                using (value)
                {
                    _values.Add(i, name, value);
                }
            }
        }
    }

    public ICalibrationStatistics Advance(IReadOnlyList<CalibrationTap> taps, IReadOnlyDictionary<string, Tensor> replaced)
    {
        foreach ((string name, Tensor tensor) in replaced)
        {
            _replaced[name] = tensor;
        }

        int end = taps.Count == 0 ? _position : Math.Max(_position, taps.Max(t => _slices.PositionOf(t.Value)));
        foreach (CalibrationTap tap in taps.Where(t => _slices.PositionOf(t.Value) < 0))
        {
            throw new ModelPackException(ErrorCodes.CalibrationShape, $"the main graph has no value '{tap.Value}'");
        }

        GraphSlices.Slice slice = _slices.Cut(_position, end, _replaced);
        string[] made = [.. slice.Nodes.SelectMany(n => n.Outputs)];
        string[] outputs = [.. slice.Kept.Union(taps.Select(t => t.Value).Intersect(made, StringComparer.Ordinal), StringComparer.Ordinal)];
        var next = new SampleValues(_samples.Info.Samples, _limits.MaxMemoryBytes / 4);
        var collectors = taps.ToDictionary(t => t.Value, t => new StatisticsCollector(t), StringComparer.Ordinal);
        try
        {
            using ModelSession? session = outputs.Length == 0 ? null : Open(slice, outputs);
            RunAll(session, slice, outputs, next, collectors, end);
            var found = new CollectedStatistics(collectors.ToDictionary(c => c.Key, c => c.Value.Finish(), StringComparer.Ordinal));
            _values.Dispose();
            _values = next;
            _position = end;
            return found;
        }
        catch
        {
            next.Dispose();
            foreach (StatisticsCollector collector in collectors.Values)
            {
                collector.Dispose();
            }

            throw;
        }
    }

    public void Dispose() => _values.Dispose();

    /// <summary>Samples in groups of as many as there are threads; what a group gave is added up in the order of the samples.</summary>
    private void RunAll(ModelSession? session, GraphSlices.Slice slice, string[] outputs, SampleValues next, Dictionary<string, StatisticsCollector> collectors, int end)
    {
        int count = _samples.Info.Samples;
        var results = new ModelOutputs?[_limits.Threads];
        for (int first = 0; first < count; first += results.Length)
        {
            _limits.Cancellation.ThrowIfCancellationRequested();
            int group = Math.Min(results.Length, count - first);
            try
            {
                if (session is not null)
                {
                    ForEach(group, i => results[i] = RunOne(session, slice, outputs, first + i));
                }

                for (int i = 0; i < group; i++)
                {
                    Collect(first + i, results[i], collectors);
                    Keep(first + i, results[i], slice, next, end);
                }
            }
            finally
            {
                foreach (ModelOutputs? result in results)
                {
                    result?.Dispose();
                }

                Array.Clear(results);
            }

            _limits.Progress?.Invoke("calibrate", first + group, count, slice.Nodes.IsEmpty ? null : slice.Nodes[^1].Handle);
        }
    }

    /// <summary>As Parallel.For, but a failure comes as itself.</summary>
    private void ForEach(int count, Action<int> body)
    {
        try
        {
            Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = _limits.Threads }, body);
        }
        catch (AggregateException e)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }

    private ModelOutputs RunOne(ModelSession session, GraphSlices.Slice slice, string[] outputs, int sample)
    {
        var inputs = new Dictionary<string, OrtValue>(StringComparer.Ordinal);
        try
        {
            foreach (string name in slice.Inputs)
            {
                SampleValues.Stored stored = _values[sample, name];
                inputs.Add(name, SampleValues.ToOrt(stored.DType, stored.Dims, stored.Data));
            }

            return session.Run(inputs, outputs);
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

    private void Collect(int sample, ModelOutputs? result, Dictionary<string, StatisticsCollector> collectors)
    {
        foreach ((string name, StatisticsCollector collector) in collectors)
        {
            if (result is not null && result.Names.Contains(name))
            {
                OrtValue value = result[name];
                OrtTensorTypeAndShapeInfo info = value.GetTensorTypeAndShape();
                collector.Add(ToFloats(name, ElementTypes.ToDType(info.ElementDataType), value.GetTensorMutableRawData()), _limits.Threads);
            }
            else
            {
                SampleValues.Stored stored = _values[sample, name];
                collector.Add(ToFloats(name, stored.DType, stored.Data.ToArray(Array.MaxLength)), _limits.Threads);
            }
        }
    }

    private static float[] ToFloats(string name, DType dtype, ReadOnlySpan<byte> bytes) => dtype switch
    {
        DType.F32 => MemoryMarshal.Cast<byte, float>(bytes).ToArray(),
        DType.F16 => [.. MemoryMarshal.Cast<byte, Half>(bytes).ToArray().Select(h => (float)h)],
        DType.BF16 => [.. MemoryMarshal.Cast<byte, ushort>(bytes).ToArray().Select(b => BitConverter.UInt32BitsToSingle((uint)b << 16))],
        _ => throw new ModelPackException(ErrorCodes.CalibrationShape, $"value '{name}' is {dtype.Name()}, not floating point"),
    };

    private void Keep(int sample, ModelOutputs? result, GraphSlices.Slice slice, SampleValues next, int end)
    {
        foreach (string name in slice.Kept)
        {
            next.Add(sample, name, result![name]);
        }

        foreach (string name in _values.Names(sample).Where(name => _slices.IsReadFrom(name, end) && !next.Has(sample, name)))
        {
            next.Add(sample, name, _values[sample, name]);
        }
    }

    private PackedModel Open(GraphSlices.Slice slice, string[] outputs)
    {
        Model model = _slices.ToModel(slice, TypeOf, outputs);
        var external = slice.Initializers.Where(IsExternal).ToHashSet<Tensor>(ReferenceEqualityComparer.Instance);
        byte[] graph = OnnxModelWriter.WriteWeightless(model, external.Contains, ArtifactContent.Dense);
        var weights = new ModelWeights(graph, external.ToDictionary(t => t.Name, StringComparer.Ordinal));
        return PackedModel.Open(_samples.Path, weights, new ModelSessionOptions { ExpandAll = true, Threads = 1, LoadThreads = _limits.Threads });
    }

    private static bool IsExternal(Tensor tensor) =>
        tensor.DType.HasFixedWidth() && tensor.DType.TryStorageBytes(tensor.Shape.ElementCount, out long bytes) && bytes >= MinExternalBytes;

    /// <summary>Element type and rank of a value that was stored; sizes may differ from sample to sample.</summary>
    private Compiler.ValueType TypeOf(string name)
    {
        SampleValues.Stored stored = _values[0, name];
        return new Compiler.ValueType(stored.DType, [.. stored.Dims.Select(_ => default(Dimension))]);
    }
}

/// <summary>What a calibration may use.</summary>
/// <param name="Threads">Worker threads, at least 1.</param>
/// <param name="MaxMemoryBytes">Bytes.</param>
/// <param name="Progress">Told activity, done, total, node.</param>
/// <param name="Cancellation">Stops.</param>
internal sealed record CalibrationLimits(int Threads, long MaxMemoryBytes, Action<string, long, long, string?>? Progress, CancellationToken Cancellation);

/// <summary>Statistics in memory.</summary>
internal sealed class CollectedStatistics(IReadOnlyDictionary<string, ActivationStatistics> byValue) : ICalibrationStatistics
{
    public ActivationStatistics this[string value] => byValue[value];

    /// <summary>All of them.</summary>
    public IEnumerable<ActivationStatistics> All => byValue.Values;

    public void Dispose()
    {
        foreach (ActivationStatistics statistics in byValue.Values)
        {
            statistics.Dispose();
        }
    }
}
