using System.Buffers.Binary;
using System.Collections.Immutable;

namespace ModelPack.Containers.Onnx;

/// <summary>
/// Elements in a typed field (float_data, int32_data, ...) as dense little-endian bytes, decoded while they are read. One checkpoint
/// per 4096 entries makes random access cheap; nothing else is kept in memory.
/// </summary>
internal sealed class TypedTensorData : TensorData
{
    private const int CheckpointEntries = 4096;

    private readonly TensorData _source;
    private readonly ImmutableArray<DataRange> _ranges;
    private readonly WireType _wire;
    private readonly int _entryBytes;
    private readonly ImmutableArray<(int Range, long Position)> _checkpoints;

    private TypedTensorData(TensorData source, ImmutableArray<DataRange> ranges, WireType wire, int entryBytes, long entries, ImmutableArray<(int, long)> checkpoints)
        : base(entries * entryBytes)
    {
        _source = source;
        _ranges = ranges;
        _wire = wire;
        _entryBytes = entryBytes;
        _checkpoints = checkpoints;
    }

    /// <summary>Indexes the entries of <paramref name="ranges"/>.</summary>
    /// <param name="source">The file.</param>
    /// <param name="ranges">Where the entries lie.</param>
    /// <param name="wire">Varint, Fixed32 or Fixed64.</param>
    /// <param name="entryBytes">Low bytes of each entry to keep: 1, 2, 4 or 8.</param>
    /// <param name="path">For messages.</param>
    /// <param name="cancellation">Stops the indexing, which reads all entries.</param>
    /// <exception cref="ModelPackException">MP1200, MP1201: an entry is cut off or not a varint.</exception>
    public static TypedTensorData Index(TensorData source, ImmutableArray<DataRange> ranges, WireType wire, int entryBytes, string? path, CancellationToken cancellation)
    {
        var checkpoints = ImmutableArray.CreateBuilder<(int, long)>();
        long entries = 0;
        using var reader = new WireReader(source, path);
        for (int r = 0; r < ranges.Length; r++)
        {
            DataRange range = ranges[r];
            reader.Position = range.OffsetBytes;
            while (reader.Position < range.EndBytes)
            {
                if (entries++ % CheckpointEntries == 0)
                {
                    cancellation.ThrowIfCancellationRequested();
                    checkpoints.Add((r, reader.Position));
                }

                ReadEntry(reader, range, wire);
            }
        }

        return new TypedTensorData(source, ranges, wire, entryBytes, entries, checkpoints.ToImmutable());
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        long entry = offsetBytes / _entryBytes;
        (int r, long position) = _checkpoints[(int)(entry / CheckpointEntries)];
        long skip = entry % CheckpointEntries;
        int within = (int)(offsetBytes % _entryBytes);
        Span<byte> bytes = stackalloc byte[8];
        using var reader = new WireReader(_source, null);
        reader.Position = position;
        while (!destination.IsEmpty)
        {
            while (reader.Position >= _ranges[r].EndBytes)
            {
                reader.Position = _ranges[++r].OffsetBytes;
            }

            ulong value = ReadEntry(reader, _ranges[r], _wire);
            if (skip-- > 0)
            {
                continue;
            }

            BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
            int n = Math.Min(destination.Length, _entryBytes - within);
            bytes.Slice(within, n).CopyTo(destination);
            destination = destination[n..];
            within = 0;
        }
    }

    private static ulong ReadEntry(WireReader reader, DataRange range, WireType wire)
    {
        if (!range.Packed)
        {
            reader.ReadTag(range.EndBytes);
        }

        if (wire == WireType.Varint)
        {
            return reader.ReadVarint(range.EndBytes);
        }

        Span<byte> bytes = stackalloc byte[8];
        bytes.Clear();
        reader.Read(bytes[..(wire == WireType.Fixed32 ? 4 : 8)], range.EndBytes);
        return BinaryPrimitives.ReadUInt64LittleEndian(bytes);
    }
}
