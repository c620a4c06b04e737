using System.Buffers.Binary;
using System.Collections.Immutable;

namespace ModelPack.Containers.Onnx;

/// <summary>The elements of string_data in ModelPack's byte form (per element a u32 length and the bytes), composed while they are read.</summary>
internal sealed class StringTensorData : TensorData
{
    private const long CheckpointBytes = 64 << 10;

    private readonly TensorData _source;
    private readonly ImmutableArray<DataRange> _ranges;
    private readonly ImmutableArray<(long Offset, int Range, long Position)> _checkpoints;

    private StringTensorData(TensorData source, ImmutableArray<DataRange> ranges, long lengthBytes, long elements, ImmutableArray<(long, int, long)> checkpoints)
        : base(lengthBytes)
    {
        _source = source;
        _ranges = ranges;
        _checkpoints = checkpoints;
        Elements = elements;
    }

    public long Elements { get; }

    /// <summary>Indexes the strings in <paramref name="ranges"/>, each a tag, a length and bytes.</summary>
    /// <exception cref="ModelPackException">MP1222: a string of 4 GiB or more.</exception>
    public static StringTensorData Index(TensorData source, ImmutableArray<DataRange> ranges, string? path, CancellationToken cancellation)
    {
        var checkpoints = ImmutableArray.CreateBuilder<(long, int, long)>();
        long bytes = 0;
        long elements = 0;
        long next = 0;
        using var reader = new WireReader(source, path);
        for (int r = 0; r < ranges.Length; r++)
        {
            long end = ranges[r].EndBytes;
            reader.Position = ranges[r].OffsetBytes;
            while (reader.Position < end)
            {
                if (bytes >= next)
                {
                    cancellation.ThrowIfCancellationRequested();
                    checkpoints.Add((bytes, r, reader.Position));
                    next = bytes + CheckpointBytes;
                }

                reader.ReadTag(end);
                long length = reader.ReadLength(end);
                if (length > uint.MaxValue)
                {
                    throw reader.Error(ErrorCodes.OnnxTensorSize, $"a string of {length} bytes");
                }

                reader.Skip(length, end);
                bytes += 4 + length;
                elements++;
            }
        }

        return new StringTensorData(source, ranges, bytes, elements, checkpoints.ToImmutable());
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        int c = _checkpoints.BinarySearch((offsetBytes, int.MaxValue, long.MaxValue));
        (long at, int r, long position) = _checkpoints[c >= 0 ? c : ~c - 1];
        Span<byte> prefix = stackalloc byte[4];
        using var reader = new WireReader(_source, null);
        reader.Position = position;
        while (!destination.IsEmpty)
        {
            while (reader.Position >= _ranges[r].EndBytes)
            {
                reader.Position = _ranges[++r].OffsetBytes;
            }

            long end = _ranges[r].EndBytes;
            reader.ReadTag(end);
            long length = reader.ReadLength(end);
            long payload = reader.Position;
            BinaryPrimitives.WriteUInt32LittleEndian(prefix, (uint)length);
            if (offsetBytes < at + 4)
            {
                int from = (int)(offsetBytes - at);
                int n = Math.Min(destination.Length, 4 - from);
                prefix.Slice(from, n).CopyTo(destination);
                destination = destination[n..];
                offsetBytes += n;
            }

            if (offsetBytes < at + 4 + length)
            {
                long from = offsetBytes - at - 4;
                int n = (int)Math.Min(destination.Length, length - from);
                _source.Read(payload + from, destination[..n]);
                destination = destination[n..];
                offsetBytes += n;
            }

            at += 4 + length;
            reader.Position = payload + length;
        }
    }
}
