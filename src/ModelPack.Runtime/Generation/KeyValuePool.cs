using ModelPack.Runtime.Evaluation;

namespace ModelPack.Runtime.Generation;

/// <summary>Keeps the memory for keys and values of sequences that have ended for those that begin: fresh memory costs time for every page that is touched. Thread-safe.</summary>
/// <param name="session">The model.</param>
/// <param name="signature">What it takes.</param>
internal sealed class KeyValuePool(ModelSession session, LanguageModelSignature signature) : IDisposable
{
    /// <summary>Most bytes that are kept while no sequence uses them.</summary>
    internal const long MostIdleBytes = 64 << 20;

    private const string Appended = "past + seq";
    private const string InPlace = "past or more";

    private readonly Lock _lock = new();
    private readonly Stack<IKeyValueMemory[]> _idle = [];
    private bool _disposed;

    /// <summary>Bytes that are kept at present.</summary>
    public long IdleBytes { get; private set; }

    /// <summary>Memory for all keys and values of a sequence; null where the graph does not say that it gives those it takes and the new ones, nor how many scores.</summary>
    public IKeyValueMemory[]? Rent()
    {
        lock (_lock)
        {
            if (_idle.TryPop(out IKeyValueMemory[]? memory))
            {
                IdleBytes -= memory.Sum(m => m.AllocatedBytes);
                return memory;
            }
        }

        return Create();
    }

    /// <summary>Takes back what was rented.</summary>
    public void Return(IKeyValueMemory[] memory)
    {
        long bytes = memory.Sum(m => m.AllocatedBytes);
        lock (_lock)
        {
            if (!_disposed && IdleBytes + bytes <= MostIdleBytes)
            {
                foreach (IKeyValueMemory one in memory)
                {
                    one.Reset();
                }

                IdleBytes += bytes;
                _idle.Push(memory);
                return;
            }
        }

        Free(memory);
    }

    /// <summary>Frees what is idle; what is returned later is freed then.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            while (_idle.TryPop(out IKeyValueMemory[]? memory))
            {
                Free(memory);
            }

            IdleBytes = 0;
        }
    }

    private static void Free(IKeyValueMemory[] memory)
    {
        foreach (IKeyValueMemory one in memory)
        {
            one.Dispose();
        }
    }

    private IKeyValueMemory[]? Create()
    {
        var all = new List<IKeyValueMemory>();
        foreach (ModelValue past in signature.Past)
        {
            ModelValue? present = session.Outputs.FirstOrDefault(o => o.Name == SequenceState.Present(past.Name));
            if (present is null || present.DType != past.DType || present.Dims.Length != 4)
            {
                return null;
            }

            int elementBytes = past.DType.BitsPerElement() / 8;
            (long heads, long channels) = (past.Dims[1].Size!.Value, past.Dims[3].Size!.Value);
            IKeyValueMemory? memory = present.Dims[2].Symbol switch
            {
                Appended => new KeyValueBuffers(past.Name, ElementTypes.ToOrt(past.DType), elementBytes, heads, channels),
                InPlace => new SharedKeyValues(past.Name, ElementTypes.ToOrt(past.DType), elementBytes, heads, channels),
                _ => null,
            };
            if (memory is null)
            {
                return null;
            }

            all.Add(memory);
        }

        return session.Outputs.First(o => o.Name == signature.Logits).Dims is [_, _, { Size: not null }] ? [.. all] : null;
    }
}
