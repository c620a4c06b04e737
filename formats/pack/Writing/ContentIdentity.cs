using System.Runtime.InteropServices;

namespace ModelPack.Pack;

/// <summary>
/// Gives equal bytes equal numbers. Most data is told apart by its length and three 4 KiB probes; only what agrees in those is hashed
/// whole, and only what agrees in the hash is compared, byte by byte.
/// </summary>
internal sealed class ContentIdentity
{
    private const int ProbeBytes = 4096;
    private const int PieceBytes = 1 << 20;

    private readonly Dictionary<TensorData, int> _byReference = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<(MappedFile File, long Offset, long Length), int> _byRange = [];
    private readonly Dictionary<(long Length, ulong Probe), List<Entry>> _byProbe = [];
    private readonly byte[] _left = new byte[PieceBytes];
    private readonly byte[] _right = new byte[PieceBytes];
    private int _next;

    public int Of(TensorData data)
    {
        if (_byReference.TryGetValue(data, out int id))
        {
            return id;
        }

        (MappedFile File, long Offset, long Length)? range = data is FileTensorData f ? (f.File, f.OffsetBytes, f.LengthBytes) : null;
        if (range is not { } known || !_byRange.TryGetValue(known, out id))
        {
            id = FindByContent(data);
        }

        _byReference[data] = id;
        if (range is { } key)
        {
            _byRange[key] = id;
        }

        return id;
    }

    /// <summary>Text that is equal exactly for encodings of equal values by content.</summary>
    /// <param name="encoding">An encoding, pending or not.</param>
    /// <param name="content">Identifies the bytes of a stream.</param>
    /// <exception cref="ModelPackException">MP1020: it cannot be stored.</exception>
    public static string Text(WeightEncoding encoding, Func<TensorData, string> content) => encoding switch
    {
        StructuredEncoding s => $"{s.Structure}{s.Shape} {{ {string.Join("; ", s.Components.Select(c => Text(c, content)))} }}",
        DenseEncoding { Source: WeightEncoding source } p => $"{p.Format}{p.Shape} < {Text(source, content)}",
        DenseEncoding d => $"{d.Format}{d.Shape} {string.Join(' ', d.Streams.Select(s => s.Data.LengthBytes == 0 ? "-" : content(s.Data)))}",
        _ => throw new ModelPackException(ErrorCodes.BadEncoding, $"an encoding of kind {encoding.GetType().Name} cannot be stored"),
    };

    private int FindByContent(TensorData data)
    {
        (long Length, ulong Probe) probe = (data.LengthBytes, Probe(data));
        ref List<Entry>? entries = ref CollectionsMarshal.GetValueRefOrAddDefault(_byProbe, probe, out bool exists);
        entries ??= [];
        var fresh = new Entry(data, _next);
        if (exists)
        {
            fresh.Hash = DataHash.Xxh128(data);
            foreach (Entry entry in entries)
            {
                entry.Hash ??= DataHash.Xxh128(entry.Data);
                if (entry.Hash == fresh.Hash && SameBytes(entry.Data, data))
                {
                    return entry.Id;
                }
            }
        }

        entries.Add(fresh);
        return _next++;
    }

    private ulong Probe(TensorData data)
    {
        int n = (int)Math.Min(ProbeBytes, data.LengthBytes);
        Span<byte> bytes = _left.AsSpan(0, 3 * n);
        data.Read(0, bytes[..n]);
        data.Read((data.LengthBytes - n) / 2, bytes.Slice(n, n));
        data.Read(data.LengthBytes - n, bytes.Slice(2 * n, n));
        return Xxh3.Hash64(bytes);
    }

    private bool SameBytes(TensorData left, TensorData right)
    {
        for (long at = 0; at < left.LengthBytes; at += PieceBytes)
        {
            int n = (int)Math.Min(PieceBytes, left.LengthBytes - at);
            left.Read(at, _left.AsSpan(0, n));
            right.Read(at, _right.AsSpan(0, n));
            if (!_left.AsSpan(0, n).SequenceEqual(_right.AsSpan(0, n)))
            {
                return false;
            }
        }

        return true;
    }

    private sealed class Entry(TensorData data, int id)
    {
        public TensorData Data { get; } = data;

        public int Id { get; } = id;

        public UInt128? Hash { get; set; }
    }
}
