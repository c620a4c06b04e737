namespace ModelPack.Pack;

/// <summary>
/// Lends buffers within a limit. Returned buffers are kept for reuse and freed as soon as they stand in the way of the limit, so the
/// sum of all buffers, lent and kept, stays below it as long as callers ask for no more (see <see cref="TilePipeline"/>).
/// </summary>
internal sealed class BufferPool(long limitBytes) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly List<NativeBuffer> _free = [];
    private long _totalBytes;

    /// <summary>The most bytes held at once.</summary>
    public long PeakBytes { get; private set; }

    /// <summary>A buffer of at least <paramref name="bytes"/>, at most a quarter larger; its content is undefined.</summary>
    public NativeBuffer Rent(int bytes)
    {
        lock (_lock)
        {
            int best = -1;
            for (int i = 0; i < _free.Count; i++)
            {
                int capacity = _free[i].CapacityBytes;
                if (capacity >= bytes && capacity <= bytes + (bytes / 4) && (best < 0 || capacity < _free[best].CapacityBytes))
                {
                    best = i;
                }
            }

            if (best >= 0)
            {
                NativeBuffer buffer = _free[best];
                _free.RemoveAt(best);
                return buffer;
            }

            while (_free.Count > 0 && _totalBytes + bytes > limitBytes)
            {
                Drop(_free.Count - 1);
            }

            var fresh = new NativeBuffer(bytes);
            _totalBytes += bytes;
            PeakBytes = Math.Max(PeakBytes, _totalBytes);
            return fresh;
        }
    }

    public void Return(NativeBuffer? buffer)
    {
        if (buffer is null)
        {
            return;
        }

        lock (_lock)
        {
            _free.Add(buffer);
            if (_free.Count > 64)
            {
                Drop(0);
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            while (_free.Count > 0)
            {
                Drop(_free.Count - 1);
            }
        }
    }

    private void Drop(int index)
    {
        _totalBytes -= _free[index].CapacityBytes;
        _free[index].Free();
        _free.RemoveAt(index);
    }
}
