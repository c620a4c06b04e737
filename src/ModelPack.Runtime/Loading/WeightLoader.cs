using System.Collections.Immutable;
using ModelPack.Runtime.Graphs;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>
/// Decodes everything that the external initializers of a graph need, in parallel, into native memory.
/// </summary>
internal static class WeightLoader
{
    /// <summary>Work is handed out in parts of this size, so that one large tensor keeps all threads busy.</summary>
    private const int PartBytes = 8 << 20;

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

            if (ElementTypes.ToOnnx(binding.DType) != declaration.OnnxType || !binding.Shape.Dims.AsSpan().SequenceEqual(declaration.Dims.AsSpan()))
            {
                throw Bad($"the plan binds {binding.DType.Name()}{binding.Shape}, the graph declares another type or shape", declaration.Name);
            }

            matched.Add(binding);
        }

        return matched;
    }

    /// <summary>Decodes the bindings.</summary>
    /// <returns>One buffer per distinct (tensor, role, dtype), in order of first use; disposed by the caller.</returns>
    /// <exception cref="ModelPackException">MP5003 for bindings that do not fit the artifact; errors of the artifact's streams as they are.</exception>
    internal static ImmutableArray<LoadedWeight> Load(IReadOnlyList<InitializerBinding> bindings, IWeightSource source, int threads)
    {
        var weights = ImmutableArray.CreateBuilder<LoadedWeight>();
        try
        {
            var byContent = new Dictionary<(string Tensor, string? Role, DType DType), LoadedWeight>();
            var parts = new List<Part>();
            foreach (InitializerBinding binding in bindings)
            {
                WeightBytes bytes = Open(binding, source);
                var key = (binding.Tensor, binding.Role, binding.DType);
                if (byContent.TryGetValue(key, out LoadedWeight? shared))
                {
                    shared.Initializers.Add(binding.Initializer);
                    continue;
                }

                var weight = new LoadedWeight($"w{weights.Count}", new WeightBuffer(binding.DType.StorageBytes(binding.Shape.ElementCount)), [binding.Initializer]);
                weights.Add(weight);
                byContent.Add(key, weight);
                Split(binding, bytes, weight.Buffer, parts);
            }

            // Large parts first, so that no thread is left with a large one at the end; the order has no influence on the bytes.
            parts.Sort(static (a, b) => b.LengthBytes.CompareTo(a.LengthBytes));
            Parallel.ForEach(parts, new ParallelOptions { MaxDegreeOfParallelism = threads > 0 ? threads : Environment.ProcessorCount }, static part => part.Decode());
            return weights.ToImmutable();
        }
        catch (Exception e)
        {
            foreach (LoadedWeight weight in weights)
            {
                weight.Buffer.Dispose();
            }

            if (e is AggregateException { InnerExceptions: [var first, ..] })
            {
                System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
            }

            throw;
        }
    }

    private static WeightBytes Open(InitializerBinding binding, IWeightSource source)
    {
        if (!source.HasTensor(binding.Tensor))
        {
            throw Bad($"bound to '{binding.Tensor}', which the artifact does not store", binding.Initializer);
        }

        WeightBytes bytes = binding.Role is null ? source.Dense(binding.Tensor, binding.DType) : source.Stream(binding.Tensor, binding.Role);
        bool widened = bytes.DType != binding.DType && binding.DType == DType.F32 && bytes.DType is DType.F16 or DType.BF16;
        DType stored = widened ? bytes.DType : binding.DType;
        if (!binding.Shape.TryElementCount(out long elements) || !stored.TryStorageBytes(elements, out long expected) || expected != bytes.Data.LengthBytes)
        {
            throw Bad($"bound as {binding.DType.Name()}{binding.Shape}, but '{binding.Tensor}' has {bytes.Data.LengthBytes} bytes of {bytes.DType.Name()}", binding.Initializer);
        }

        return bytes with { DType = stored };
    }

    private static void Split(InitializerBinding binding, WeightBytes bytes, WeightBuffer buffer, List<Part> parts)
    {
        int widening = bytes.DType == binding.DType ? 1 : 2;
        long length = bytes.Data.LengthBytes;
        for (long offset = 0; offset < length; offset += PartBytes)
        {
            parts.Add(new Part(bytes, buffer, offset, (int)Math.Min(PartBytes, length - offset), widening));
        }
    }

    private static ModelPackException Bad(string detail, string initializer) => new(ErrorCodes.BadPlan, detail, tensor: initializer);

    /// <summary>A range of source bytes and where it goes; widened types take twice the room.</summary>
    private sealed record Part(WeightBytes Source, WeightBuffer Buffer, long OffsetBytes, int LengthBytes, int Widening)
    {
        internal void Decode()
        {
            Span<byte> destination = Buffer.Slice(OffsetBytes * Widening, LengthBytes * Widening);
            if (Widening == 1)
            {
                Source.Data.Read(OffsetBytes, destination);
                return;
            }

            // The narrow values go to the upper half of their own destination and are widened from the front: value i is read at
            // byte n + 2i and written at 4i, which never overtakes the read position.
            Span<byte> narrow = destination[LengthBytes..];
            Source.Data.Read(OffsetBytes, narrow);
            Widen.ToSingle(Source.DType, narrow, destination);
        }
    }
}
