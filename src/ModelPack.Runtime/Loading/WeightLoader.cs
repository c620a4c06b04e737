using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.ExceptionServices;
using ModelPack.Runtime.Graphs;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>
/// Decodes everything that the external initializers of a graph need, in parallel, into native memory.
/// </summary>
internal static class WeightLoader
{
    /// <summary>From this size on a weight is decoded by all threads together.</summary>
    private const long LargeBytes = 16 << 20;

    /// <summary>Checks that bindings and graph agree: every external initializer is bound once, with the declared type and shape.</summary>
    /// <exception cref="ModelPackException">MP5003: they do not.</exception>
    internal static IReadOnlyList<InitializerBinding> Match(IReadOnlyList<WeightlessGraph.Declaration> declarations, IReadOnlyList<InitializerBinding> bindings)
    {
        var byName = new Dictionary<string, InitializerBinding>(StringComparer.Ordinal);
        foreach (InitializerBinding binding in bindings)
        {
            if (!byName.TryAdd(binding.Initializer, binding))
            {
                throw Bad("is bound twice", binding.Initializer);
            }
        }

        var matched = new List<InitializerBinding>(declarations.Count);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (WeightlessGraph.Declaration declaration in declarations)
        {
            if (!seen.Add(declaration.Name))
            {
                throw Bad("is declared twice in the graph", declaration.Name);
            }

            if (!byName.TryGetValue(declaration.Name, out InitializerBinding? binding))
            {
                throw Bad("is external in the graph and not bound by the plan", declaration.Name);
            }

            if (ElementTypes.ToOnnx(binding.DType) != declaration.OnnxType || !binding.Shape.Dims.AsSpan().SequenceEqual(declaration.Dims))
            {
                throw Bad($"the plan binds {binding.DType.Name()}{binding.Shape}, the graph declares another type or shape", declaration.Name);
            }

            matched.Add(binding);
        }

        return matched;
    }

    /// <summary>Decodes the bindings.</summary>
    /// <returns>One buffer per distinct (tensor, role, dtype, transposed), in order of first use; disposed by the caller.</returns>
    /// <exception cref="ModelPackException">MP5003 for bindings that do not fit the artifact; errors of the artifact's streams as they are.</exception>
    internal static ImmutableArray<LoadedWeight> Load(IReadOnlyList<InitializerBinding> bindings, IWeightSource source, int threads)
    {
        List<OpenedWeight> weights = Open(bindings, source);
        try
        {
            Run([.. weights.Select(w => w.Job)], threads > 0 ? threads : Environment.ProcessorCount);
            return [.. weights.Select(w => w.Weight)];
        }
        catch (Exception e)
        {
            Dispose(weights);
            if (e is AggregateException { InnerExceptions: [var first, ..] })
            {
                ExceptionDispatchInfo.Throw(first);
            }

            throw;
        }
        finally
        {
            ScratchBuffers.Clear();
        }
    }

    /// <summary>As <see cref="Load"/>, one weight after the other: each is handed over and disposed before the next is decoded.</summary>
    /// <returns>The weights, without their bytes.</returns>
    /// <exception cref="ModelPackException">As there.</exception>
    internal static ImmutableArray<LoadedWeight> LoadEach(IReadOnlyList<InitializerBinding> bindings, IWeightSource source, int threads, Action<LoadedWeight> take)
    {
        List<OpenedWeight> weights = Open(bindings, source);
        try
        {
            foreach ((LoadedWeight weight, LoadJob job) in weights)
            {
                job.Run(threads > 0 ? threads : Environment.ProcessorCount);
                take(weight);
                weight.Buffer.Dispose();
            }

            return [.. weights.Select(w => w.Weight)];
        }
        finally
        {
            Dispose(weights);
            ScratchBuffers.Clear();
        }
    }

    /// <summary>What there is to decode, with buffers that nothing was written to yet: memory is used when they are filled.</summary>
    private static List<OpenedWeight> Open(IReadOnlyList<InitializerBinding> bindings, IWeightSource source)
    {
        var weights = new List<OpenedWeight>();
        try
        {
            foreach (WeightSlot slot in WeightSlot.Of(bindings))
            {
                LoadJob job = Open(slot.Bindings[0], source);
                weights.Add(new OpenedWeight(new LoadedWeight(slot.Location, job.Buffer, slot.Initializers, slot.IsReadInPlace), job));
                foreach (InitializerBinding sharing in slot.Bindings.Skip(1))
                {
                    CheckLength(sharing, job.Buffer.LengthBytes, sharing.DType);
                }
            }

            return weights;
        }
        catch
        {
            Dispose(weights);
            throw;
        }
    }

    private static void Dispose(List<OpenedWeight> weights) => weights.ForEach(w => w.Weight.Buffer.Dispose());

    /// <summary>Large weights one after the other on all threads, then the small ones beside each other.</summary>
    private static void Run(List<LoadJob> jobs, int threads)
    {
        foreach (LoadJob job in jobs)
        {
            if (job.Buffer.LengthBytes >= LargeBytes)
            {
                job.Run(threads);
            }
        }

        LoadJob[] small = [.. jobs.Where(j => j.Buffer.LengthBytes < LargeBytes)];
        Array.Sort(small, static (a, b) => b.Buffer.LengthBytes.CompareTo(a.Buffer.LengthBytes));

        // Two threads that begin with weights of the same kind would wait for the same code to be compiled.
        int other = Array.FindIndex(small, job => job.Role != small[0].Role);
        if (other > 1)
        {
            (small[1], small[other]) = (small[other], small[1]);
        }

        Parallel.ForEach(Partitioner.Create(small, EnumerablePartitionerOptions.NoBuffering), new ParallelOptions { MaxDegreeOfParallelism = threads }, static job => job.Run(1));
    }

    private static LoadJob Open(InitializerBinding binding, IWeightSource source)
    {
        IStoredWeight weight = source.Find(binding.Tensor)
            ?? throw Bad($"bound to '{binding.Tensor}', which the artifact does not store", binding.Initializer);
        DType stored = binding.DType;
        if (binding.Role == InitializerBinding.Tiles)
        {
            if (TileJob.WhyNot(binding, weight) is string reason)
            {
                throw Bad(reason, binding.Initializer);
            }

            return new LoadJob(weight, binding.Role, binding.DType, binding.DType, new WeightBuffer(binding.Shape[0]), binding.Transposed ? 1 : 0);
        }

        if (binding.Role == InitializerBinding.NeuronRows)
        {
            return NeuronRowsJob.WhyNot(binding, weight) is string reason ? throw Bad(reason, binding.Initializer) : new LoadJob(weight, binding.Role, binding.DType, binding.DType, new WeightBuffer(binding.Shape[0]));
        }

        if (binding.Role is null)
        {
            if (weight.Shape != binding.Shape)
            {
                throw Bad($"bound as {binding.DType.Name()}{binding.Shape}, but '{binding.Tensor}' is {weight.DType.Name()}{weight.Shape}", binding.Initializer);
            }

            CheckLength(binding, null, stored);
        }
        else
        {
            (DType streamType, long lengthBytes) = weight.Stream(binding.Role)
                ?? throw Bad($"'{binding.Tensor}' has no single stream '{binding.Role}'", binding.Initializer);
            bool converts = (binding.DType == DType.F32 && streamType is DType.F16 or DType.BF16) || (binding.DType == DType.I8 && streamType == DType.U8);
            stored = converts ? streamType : binding.DType;
            CheckLength(binding, lengthBytes, stored);
        }

        if (binding.Transposed && (binding.Shape.Rank != 2 || stored != DType.U8 || binding.DType != DType.I8))
        {
            throw Bad("bound as a transpose, which only codes bound as an i8 matrix can be", binding.Initializer);
        }

        var buffer = new WeightBuffer(binding.DType.StorageBytes(binding.Shape.ElementCount));
        return new LoadJob(weight, binding.Role, binding.DType, stored, buffer, binding.Transposed ? binding.Shape[1] : 0);
    }

    private static void CheckLength(InitializerBinding binding, long? lengthBytes, DType stored)
    {
        if (!binding.Shape.TryElementCount(out long elements) || !binding.DType.TryStorageBytes(elements, out _) ||
            !stored.TryStorageBytes(elements, out long expected) || (lengthBytes is long given && given != expected))
        {
            throw Bad($"bound as {binding.DType.Name()}{binding.Shape}, which '{binding.Tensor}' does not fill", binding.Initializer);
        }
    }

    /// <summary>A weight and the work that fills it.</summary>
    private sealed record OpenedWeight(LoadedWeight Weight, LoadJob Job);

    private static ModelPackException Bad(string detail, string initializer) => new(ErrorCodes.BadPlan, detail, tensor: initializer);
}
