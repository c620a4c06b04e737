namespace ModelPack.Pack;

/// <summary>
/// A part of some data that is read from front to back: while one window of it is handed out, the next one is decoded on several threads. Two windows are all the memory it takes; nothing outside of the part is read.
/// </summary>
/// <param name="source">The data; safe to read from several threads.</param>
/// <param name="beginBytes">Where the part begins.</param>
/// <param name="lengthBytes">Its length; at least one byte.</param>
/// <param name="stepBytes">What one thread reads at once, from a multiple of this on.</param>
/// <param name="threads">Threads to use.</param>
/// <param name="cancellation">Stops between steps.</param>
internal sealed class ReadAheadData(TensorData source, long beginBytes, long lengthBytes, int stepBytes, int threads, CancellationToken cancellation) : TensorData(lengthBytes)
{
    private const int WindowBytes = 16 << 20;

    private readonly Lock _lock = new();
    private readonly long _windowBytes = (long)stepBytes * Math.Max(1, WindowBytes / stepBytes);
    private byte[] _current = [];
    private long _currentWindow = -1;
    private byte[] _next = [];
    private long _nextWindow = -1;
    private Task _decoding = Task.CompletedTask;

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        lock (_lock)
        {
            while (!destination.IsEmpty)
            {
                long window = (beginBytes + offsetBytes) / _windowBytes;
                Require(window);
                (long begin, int length) = Range(window);
                int inside = (int)(beginBytes + offsetBytes - begin);
                int n = Math.Min(destination.Length, length - inside);
                _current.AsSpan(inside, n).CopyTo(destination);
                offsetBytes += n;
                destination = destination[n..];
            }
        }
    }

    /// <summary>The part of a window that is wanted.</summary>
    private (long BeginBytes, int LengthBytes) Range(long window)
    {
        long begin = Math.Max(beginBytes, window * _windowBytes);
        return (begin, (int)(Math.Min(beginBytes + LengthBytes, (window + 1) * _windowBytes) - begin));
    }

    /// <summary>Makes a window the current one and begins with the one behind it.</summary>
    private void Require(long window)
    {
        if (window == _currentWindow)
        {
            return;
        }

        // An error of the window ahead is one of that window's reader.
        bool ahead = window == _nextWindow;
        _nextWindow = -1;
        Task decoding = _decoding;
        _decoding = Task.CompletedTask;
        if (ahead)
        {
            decoding.GetAwaiter().GetResult();
            (_current, _next) = (_next, _current);
        }
        else
        {
            Task.WaitAny([decoding], CancellationToken.None);
            _currentWindow = -1;
            Decode(window, ref _current);
        }

        _currentWindow = window;
        if ((window + 1) * _windowBytes < beginBytes + LengthBytes)
        {
            _nextWindow = window + 1;
            _decoding = Task.Run(() => Decode(window + 1, ref _next), CancellationToken.None);
        }
    }

    private void Decode(long window, ref byte[] buffer)
    {
        (long begin, int length) = Range(window);
        if (buffer.Length < length)
        {
            buffer = GC.AllocateUninitializedArray<byte>(length);
        }

        byte[] target = buffer;
        long first = begin / stepBytes;
        ParallelTiles.Run(
            ((begin + length - 1) / stepBytes) - first + 1,
            threads,
            i =>
            {
                long from = Math.Max(begin, (first + i) * stepBytes);
                long to = Math.Min(begin + length, (first + i + 1) * stepBytes);
                source.Read(from, target.AsSpan((int)(from - begin), (int)(to - from)));
            },
            cancellation);
    }
}
