namespace ModelPack.Pack;

/// <summary>The chunks decoded last, for reads that take less than a chunk at a time. Bounded by bytes; thread-safe.</summary>
internal sealed class ChunkCache(long limitBytes)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<long, LinkedListNode<(long Chunk, byte[] Bytes)>> _byChunk = [];
    private readonly LinkedList<(long Chunk, byte[] Bytes)> _recent = [];
    private long _bytes;

    public bool TryGet(long chunk, out byte[] bytes)
    {
        lock (_lock)
        {
            if (_byChunk.TryGetValue(chunk, out LinkedListNode<(long Chunk, byte[] Bytes)>? node))
            {
                _recent.Remove(node);
                _recent.AddFirst(node);
                bytes = node.Value.Bytes;
                return true;
            }
        }

        bytes = [];
        return false;
    }

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
                return;
            }

            _byChunk.Add(chunk, _recent.AddFirst((chunk, bytes)));
            _bytes += bytes.Length;
            while (_bytes > limitBytes)
            {
                (long oldest, byte[] dropped) = _recent.Last!.Value;
                _recent.RemoveLast();
                _byChunk.Remove(oldest);
                _bytes -= dropped.Length;
            }
        }
    }
}
