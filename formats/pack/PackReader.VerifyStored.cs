using System.Buffers;
using System.IO.Hashing;

namespace ModelPack.Pack;

/// <content>Checking every stored byte without decoding.</content>
public sealed partial class PackReader
{
    /// <summary>Stored bytes that one step of a thread checks: long enough that a step is mostly hashing, short enough that threads end together.</summary>
    private const int StepBytes = 4 << 20;

    /// <summary>Bytes held at once: all of a chunk of the usual length, still in the core's own cache when it is hashed.</summary>
    private const int PieceBytes = 1 << 20;

    /// <summary>Bytes read at least, so that short chunks come together.</summary>
    private const int ReadAheadBytes = 256 << 10;

    /// <summary>
    /// Reads the whole artifact once, from front to end, and checks every byte as it is stored: chunks against the hash of their stored bytes, padding against zero. Finds any damage since it was written, as
    /// <see cref="Verify"/> does, at the speed of the disk or of XXH3; what it leaves out is that the chunks decode, and to the data they were made from. What opening checks (header, manifest, index, root) has
    /// been checked already. Each thread holds 1 MiB, whatever the size of the chunks.
    /// </summary>
    /// <param name="threads">Threads to use.</param>
    /// <param name="progress">Told about stored bytes every few megabytes, from any thread.</param>
    /// <param name="cancellation">Stops within a few megabytes.</param>
    /// <returns>All problems in file order; empty when every byte is the one that was written.</returns>
    /// <exception cref="ModelPackException">MP1003 the file cannot be read.</exception>
    public IReadOnlyList<PackProblem> VerifyStored(int threads = 1, IProgress<PackProgress>? progress = null, CancellationToken cancellation = default)
    {
        string?[] owners = Owners();
        List<long> steps = Steps();
        long total = _streams.Sum(s => s.StoredBytes);
        long done = 0;
        var found = new List<(int Stream, PackProblem Problem)>();
        ParallelTiles.Run(
            steps.Count - 1,
            threads,
            step =>
            {
                long bytes = 0;
                PackStream stream = StreamOf(steps[(int)step]);
                var hash = new XxHash3();
                byte[] piece = ArrayPool<byte>.Shared.Rent(PieceBytes);
                var pieces = new FilePieces(File, piece);
                for (long number = steps[(int)step]; number < steps[(int)step + 1]; number++)
                {
                    while (number >= stream.FirstChunk + stream.ChunkCount)
                    {
                        stream = _streams[stream.Index + 1];
                    }

                    long chunk = number - stream.FirstChunk;
                    ChunkRecord record = Record(stream, chunk);
                    bytes += record.StoredBytes;
                    if (Hash(ref pieces, record, hash) != record.StoredHash)
                    {
                        ModelPackException e = Damaged(stream, chunk, record, "its checksum does not match");
                        lock (found)
                        {
                            found.Add((stream.Index, new PackProblem(e.Code, stream.Name, owners[stream.Index], chunk, e.Message)));
                        }
                    }
                }

                ArrayPool<byte>.Shared.Return(piece);
                long now = Interlocked.Add(ref done, bytes);
                progress?.Report(new PackProgress(now, total, owners[stream.Index] ?? stream.Name));
            },
            cancellation);
        return InFileOrder(found, owners);
    }

    private static ulong Hash(ref FilePieces pieces, ChunkRecord record, XxHash3 hash)
    {
        ReadOnlySpan<byte> bytes = pieces.At(record.OffsetBytes, record.StoredBytes);
        if (bytes.Length == record.StoredBytes)
        {
            return Xxh3.Hash64(bytes);
        }

        hash.Reset();
        hash.Append(bytes);
        for (int at = bytes.Length; at < record.StoredBytes; at += bytes.Length)
        {
            bytes = pieces.At(record.OffsetBytes + at, record.StoredBytes - at);
            hash.Append(bytes);
        }

        return hash.GetCurrentHashAsUInt64();
    }

    /// <summary>Where steps begin, as numbers of chunks, and after them the number of all chunks.</summary>
    private List<long> Steps()
    {
        var steps = new List<long>();
        long bytes = StepBytes;
        foreach (PackStream stream in _streams)
        {
            for (long chunk = 0; chunk < stream.ChunkCount; chunk++)
            {
                if (bytes >= StepBytes)
                {
                    steps.Add(stream.FirstChunk + chunk);
                    bytes = 0;
                }

                bytes += Record(stream, chunk).StoredBytes;
            }
        }

        steps.Add(_artifact.Index.Length / PackLayout.ChunkRecordBytes);
        return steps;
    }

    /// <summary>A file read front to end in large pieces, however short the parts are that are asked for.</summary>
    private struct FilePieces(MappedFile file, byte[] buffer)
    {
        private long _begin;
        private int _length;

        /// <summary>The bytes from <paramref name="offset"/> on that are at hand, at least one and at most <paramref name="wanted"/>.</summary>
        public ReadOnlySpan<byte> At(long offset, int wanted)
        {
            if (offset < _begin || offset + Math.Min(wanted, PieceBytes) > _begin + _length)
            {
                _begin = offset;
                _length = 0;
                int length = (int)Math.Min(Math.Clamp(wanted, ReadAheadBytes, PieceBytes), file.LengthBytes - offset);
                file.Read(offset, buffer.AsSpan(0, length));
                _length = length;
            }

            int from = (int)(offset - _begin);
            return buffer.AsSpan(from, Math.Min(wanted, _length - from));
        }
    }
}
