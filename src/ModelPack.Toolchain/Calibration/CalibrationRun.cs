using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
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

    /// <summary>Part of the memory that matrices of statistics may take once they are collected; larger ones wait on disk.</summary>
    private const int ShareOfMatrices = 8;

    private readonly Model _model;
    private readonly CalibrationSamples _samples;
    private readonly GraphSlices _slices;
    private readonly Dictionary<string, Tensor> _replaced = new(StringComparer.Ordinal);
    private readonly CalibrationLimits _limits;
    private readonly ImmutableArray<ModelValue> _inputs;
    private readonly ImmutableArray<ModelValue> _outputs;
    private readonly bool _withReference;
    private readonly SampleBudget _budget;
    private readonly Dictionary<string, Tensor> _none = [];
    private SampleValues _values;
    private SampleValues? _reference;
    private int _position;

    /// <param name="model">A model with a graph.</param>
    /// <param name="samples">The data; stay the caller's.</param>
    /// <param name="limits">Threads, memory, cancellation.</param>
    /// <param name="withReference">True to run the model without compressed layers alongside, for <see cref="CalibrationTap.Drift"/>.</param>
    /// <exception cref="ModelPackException">MP2213, MP2218.</exception>
    public CalibrationRun(Model model, CalibrationSamples samples, CalibrationLimits limits, bool withReference)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph that could be run on calibration data: give the model as .onnx");
        }

        _model = model;
        _samples = samples;
        _limits = limits;
        _withReference = withReference;
        _budget = new SampleBudget(limits.MaxMemoryBytes / 4);
        _slices = new GraphSlices(model);
        _inputs = CalibrationSamples.Describe(model.Graph.FreeInputs());
        _outputs = CalibrationSamples.Describe(model.Graph.Outputs);
        _values = new SampleValues(samples.Info.Samples, _budget);
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
        SampleValues? reference = null;
        var next = new SampleValues(_samples.Info.Samples, _budget);
        var collectors = new Dictionary<CalibrationTap, StatisticsCollector>();
        try
        {
            // Up to the first compressed layer both runs are one.
            bool forks = _withReference && (_reference is not null || _replaced.Count > 0);
            reference = forks ? new SampleValues(_samples.Info.Samples, _budget) : null;
            using (Lane lane = Open(slice, outputs, _values, next))
            using (Lane? plain = reference is null ? null : Open(_slices.Cut(_position, end, _none), outputs, _reference ?? _values, reference))
            {
                // Only now, and finished only when the weights are gone: sessions take most while they are opened, matrices while they are moved.
                foreach (CalibrationTap tap in taps)
                {
                    collectors.Add(tap, new StatisticsCollector(tap));
                }

                RunAll(lane, plain, collectors, end);
            }

            var found = CollectedStatistics.Of([.. collectors.Values.Select(c => c.Finish())], _limits.MaxMemoryBytes / ShareOfMatrices);
            _values.Dispose();
            _reference?.Dispose();
            (_values, _reference, _position) = (next, reference, end);
            return found;
        }
        catch
        {
            next.Dispose();
            reference?.Dispose();
            foreach (StatisticsCollector collector in collectors.Values)
            {
                collector.Dispose();
            }

            throw;
        }
    }

    public void Dispose()
    {
        _values.Dispose();
        _reference?.Dispose();
    }

    /// <summary>Samples in groups of as many as there are threads; what a group gave is added up in the order of the samples.</summary>
    private void RunAll(Lane lane, Lane? plain, Dictionary<CalibrationTap, StatisticsCollector> collectors, int end)
    {
        int count = _samples.Info.Samples;
        var results = new ModelOutputs?[_limits.Threads];
        var references = new ModelOutputs?[_limits.Threads];
        for (int first = 0; first < count; first += results.Length)
        {
            _limits.Cancellation.ThrowIfCancellationRequested();
            int group = Math.Min(results.Length, count - first);
            try
            {
                ForEach(group, i =>
                {
                    results[i] = RunOne(lane, first + i);
                    references[i] = plain is null ? null : RunOne(plain, first + i);
                });
                for (int i = 0; i < group; i++)
                {
                    Collect(first + i, lane, results[i], plain, references[i], collectors);
                    Keep(first + i, lane, results[i], end);
                    if (plain is not null)
                    {
                        Keep(first + i, plain, references[i], end);
                        plain.From.Drop(first + i);
                    }

                    lane.From.Drop(first + i);
                }
            }
            finally
            {
                foreach (ModelOutputs? result in results.Concat(references))
                {
                    result?.Dispose();
                }

                Array.Clear(results);
                Array.Clear(references);
            }

            _limits.Progress?.Invoke("calibrate", first + group, count, lane.Slice.Nodes.IsEmpty ? null : lane.Slice.Nodes[^1].Handle);
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

    private ModelOutputs? RunOne(Lane lane, int sample)
    {
        if (lane.Session is null)
        {
            return null;
        }

        var inputs = new Dictionary<string, OrtValue>(StringComparer.Ordinal);
        try
        {
            foreach (string name in lane.Slice.Inputs)
            {
                SampleValues.Stored stored = lane.From[sample, name];
                inputs.Add(name, SampleValues.ToOrt(stored.DType, stored.Dims, stored.Data));
            }

            return lane.Session.Run(inputs, lane.Outputs);
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

    private void Collect(int sample, Lane lane, ModelOutputs? result, Lane? plain, ModelOutputs? reference, Dictionary<CalibrationTap, StatisticsCollector> collectors)
    {
        // Values are independent: one per thread when there are many, all threads in one when there are few.
        IGrouping<string, KeyValuePair<CalibrationTap, StatisticsCollector>>[] all = [.. collectors.GroupBy(c => c.Key.Value, StringComparer.Ordinal)];
        int inner = all.Length > 1 ? 1 : _limits.Threads;
        ForEach(all.Length, i =>
        {
            using PooledFloats values = Values(sample, all[i].Key, lane, result, out long[] dims);
            using PooledFloats? unchanged = plain is null ? null : Values(sample, all[i].Key, plain, reference, out _);
            foreach ((CalibrationTap tap, StatisticsCollector collector) in all[i])
            {
                ReadOnlyMemory<float> Vectors(PooledFloats whole) => tap.Patches is null ? whole.Memory : tap.Patches.Gather(tap.Value, whole.Memory.Span, dims);
                collector.Add(Vectors(values), unchanged is null ? default : Vectors(unchanged), inner);
            }
        });
    }

    private static PooledFloats Values(int sample, string name, Lane lane, ModelOutputs? result, out long[] dims)
    {
        if (result is not null && result.Names.Contains(name))
        {
            OrtValue value = result[name];
            dims = value.GetTensorTypeAndShape().Shape;
            return PooledFloats.Of(name, ElementTypes.ToDType(value.GetTensorTypeAndShape().ElementDataType), value.GetTensorMutableRawData());
        }

        SampleValues.Stored stored = lane.From[sample, name];
        dims = stored.Dims;
        byte[] bytes = ArrayPool<byte>.Shared.Rent(checked((int)stored.Data.LengthBytes));
        try
        {
            Span<byte> part = bytes.AsSpan(0, (int)stored.Data.LengthBytes);
            stored.Data.Read(0, part);
            return PooledFloats.Of(name, stored.DType, part);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private void Keep(int sample, Lane lane, ModelOutputs? result, int end)
    {
        foreach (string name in lane.Slice.Kept)
        {
            lane.To.Add(sample, name, result![name]);
        }

        foreach (string name in lane.From.Names(sample).Where(name => _slices.IsReadFrom(name, end) && !lane.To.Has(sample, name)))
        {
            lane.To.Add(sample, name, lane.From[sample, name]);
        }
    }

    private Lane Open(GraphSlices.Slice slice, string[] outputs, SampleValues from, SampleValues to)
    {
        if (outputs.Length == 0)
        {
            return new Lane(slice, outputs, null, from, to);
        }

        Compiler.ValueType TypeOf(string name)
        {
            // Element type and rank; sizes may differ from sample to sample.
            SampleValues.Stored stored = from[0, name];
            return new Compiler.ValueType(stored.DType, [.. stored.Dims.Select(_ => default(Dimension))]);
        }

        Model model = _slices.ToModel(slice, TypeOf, outputs);
        var external = slice.Initializers.Where(IsExternal).ToHashSet<Tensor>(ReferenceEqualityComparer.Instance);
        byte[] graph = OnnxModelWriter.WriteWeightless(model, external.Contains, ArtifactContent.Dense);
        var weights = new ModelWeights(graph, external.ToDictionary(t => t.Name, StringComparer.Ordinal));
        PackedModel session = PackedModel.Open(_samples.Path, weights, new ModelSessionOptions { ExpandAll = true, Threads = 1, LoadThreads = _limits.Threads });
        return new Lane(slice, outputs, session, from, to);
    }

    private static bool IsExternal(Tensor tensor) =>
        tensor.DType.HasFixedWidth() && tensor.DType.TryStorageBytes(tensor.Shape.ElementCount, out long bytes) && bytes >= MinExternalBytes;

    /// <summary>One of the runs through a piece: with compressed layers, or without.</summary>
    private sealed record Lane(GraphSlices.Slice Slice, string[] Outputs, ModelSession? Session, SampleValues From, SampleValues To) : IDisposable
    {
        public void Dispose() => Session?.Dispose();
    }
}
