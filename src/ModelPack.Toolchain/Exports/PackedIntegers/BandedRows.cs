namespace ModelPack.Toolchain;

/// <summary>Rows that cost a pass over their whole source, however few are asked for: computed many at a time and kept until others are wanted.</summary>
/// <param name="rows">Number of rows.</param>
/// <param name="rowBytes">Bytes of each.</param>
/// <param name="cache">Where they are kept, shared by all tensors of an export: one band at a time.</param>
/// <param name="compute">Computes rows that follow each other.</param>
internal sealed class BandedRows(long rows, long rowBytes, BandCache cache, ComputedRows.Compute compute) : TensorData(checked(rows * rowBytes))
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        long perBand = Math.Clamp(BandCache.Bytes / Math.Max(1, rowBytes), 1, Math.Max(1, rows));
        while (!destination.IsEmpty)
        {
            long first = offsetBytes / rowBytes / perBand * perBand;
            int count = (int)Math.Min(perBand, rows - first);
            long at = offsetBytes - (first * rowBytes);
            int n = (int)Math.Min(destination.Length, (count * rowBytes) - at);
            cache.Read(this, first, checked((int)(count * rowBytes)), band => compute(first, count, band), (int)at, destination[..n]);
            offsetBytes += n;
            destination = destination[n..];
        }
    }
}

/// <summary>The band that was computed last.</summary>
internal sealed class BandCache
{
    /// <summary>Most bytes of a band, but for rows that are longer.</summary>
    public const int Bytes = 64 << 20;

    private readonly Lock _lock = new();
    private byte[] _band = [];
    private object? _owner;
    private long _first = -1;

    /// <summary>Fills a band.</summary>
    /// <param name="band">With any content.</param>
    public delegate void Fill(Span<byte> band);

    /// <summary>Copies a piece of a band, which is computed when it is not the last one.</summary>
    public void Read(object owner, long first, int length, Fill fill, int offset, Span<byte> destination)
    {
        lock (_lock)
        {
            if (!ReferenceEquals(owner, _owner) || first != _first)
            {
                _owner = null;
                _band = _band.Length >= length ? _band : new byte[length];
                fill(_band.AsSpan(0, length));
                (_owner, _first) = (owner, first);
            }

            _band.AsSpan(offset, destination.Length).CopyTo(destination);
        }
    }
}
