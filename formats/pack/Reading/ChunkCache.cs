namespace ModelPack.Pack;

/// <summary>
/// The chunks decoded last, for reads that take less than a chunk at a time. Bounded by bytes; thread-safe. What is dropped is used again, so that reading
/// goes on without allocating once the cache is full.
/// </summary>
internal sealed class ChunkCache(long limitBytes)
{
    private const int MaxSpare = 4;

    private readonly Lock _lock = new();
    private readonly Dictionary<long, LinkedListNode<(long Chunk, byte[] Bytes)>> _byChunk = [];
    private readonly LinkedList<(long Chunk, byte[] Bytes)> _recent = [];
    private readonly Stack<LinkedListNode<(long Chunk, byte[] Bytes)>> _nodes = [];
    private readonly List<byte[]> _spare = new(MaxSpare);
    private long _bytes;

    /// <summary>Copies part of a chunk, if it is here.</summary>
    public bool TryCopy(long chunk, int offset, Span<byte> destination)
    {
        lock (_lock)
        {
            if (!_byChunk.TryGetValue(chunk, out LinkedListNode<(long Chunk, byte[] Bytes)>? node))
            {
                return false;
            }

            _recent.Remove(node);
            _recent.AddFirst(node);

            // Under the lock, because a dropped chunk's array is given to the next one.
            node.Value.Bytes.AsSpan(offset, destination.Length).CopyTo(destination);
            return true;
        }
    }

    /// <summary>An array for a chunk to be decoded into, then given to <see cref="Add"/>.</summary>
    public byte[] Take(int length)
    {
        lock (_lock)
        {
            for (int i = 0; i < _spare.Count; i++)
            {
                if (_spare[i].Length == length)
                {
                    byte[] bytes = _spare[i];
                    _spare.RemoveAt(i);
                    return bytes;
                }
            }
        }

        return GC.AllocateUninitializedArray<byte>(length);
    }

    /// <summary>Keeps a decoded chunk. The array belongs to the cache from here on.</summary>
    public void Add(long chunk, byte[] bytes)
    {
        if (bytes.Length > limitBytes)
        {
            return;
        }

        lock (_lock)
        {
            if (_byChunk.ContainsKey(chunk))
            {
                Spare(bytes);
                return;
            }

            if (!_nodes.TryPop(out LinkedListNode<(long Chunk, byte[] Bytes)>? node))
            {
                node = new LinkedListNode<(long Chunk, byte[] Bytes)>(default);
            }

            node.Value = (chunk, bytes);
            _recent.AddFirst(node);
            _byChunk.Add(chunk, node);
            _bytes += bytes.Length;
            while (_bytes > limitBytes)
            {
                LinkedListNode<(long Chunk, byte[] Bytes)> oldest = _recent.Last!;
                _recent.Remove(oldest);
                _byChunk.Remove(oldest.Value.Chunk);
                _bytes -= oldest.Value.Bytes.Length;
                Spare(oldest.Value.Bytes);
                oldest.Value = default;
                _nodes.Push(oldest);
            }
        }
    }

    private void Spare(byte[] bytes)
    {
        if (_spare.Count == MaxSpare)
        {
            _spare.RemoveAt(0);
        }

        _spare.Add(bytes);
    }
}
