using System.Buffers.Binary;

namespace ModelPack.Pack;

/// <summary>The jobs of an artifact in its journal. Where a job's bytes lie depends on all before it, so what is kept is a beginning: up to the first job that is made from something else.</summary>
internal sealed class JobJournal(OutputJournal journal, OutputFile file, CancellationToken cancellation)
{
    private const int StreamHeaderBytes = 20;

    /// <summary>What all jobs depend on.</summary>
    public static string Context(PackOptions options) => $"{options.Resume}; level {options.Level}{(options.Portable ? "; portable" : "")}; layout {PackLayout.Version}";

    /// <summary>Gives the assembler the jobs that are written already.</summary>
    /// <returns>How many jobs come before the first that is not.</returns>
    public int Restore(WritePlan plan, ArtifactAssembler assembler)
    {
        int kept = 0;
        for (int i = 0; i < plan.Jobs.Count; i++)
        {
            EncodeJob job = plan.Jobs[i];
            if (job.TileCount == 0)
            {
                continue;
            }

            cancellation.ThrowIfCancellationRequested();
            if (!journal.Knows(file.Name, Name(job)) || journal.Keep(file.Handle, file.Name, Name(job), Key(job), assembler.Position) is not JournalPart part || !TryRead(job, part.State.Span, out ErrorSums errors))
            {
                break;
            }

            job.IsKept = true;
            assembler.Keep(job, part.OffsetBytes + part.LengthBytes, errors);
            kept = i + 1;
        }

        return kept;
    }

    /// <summary>Records a job that is written.</summary>
    public void Add(EncodeJob job, long begin, long end, ulong hash, ErrorSums errors) => journal.Add(new JournalPart(file.Name, Name(job), Key(job), begin, end - begin, hash, Write(job, errors)));

    private static string Name(EncodeJob job) => job.Streams[0].Name;

    private string Key(EncodeJob job)
    {
        string text = string.Join(' ', job.Streams.Select(s => FormattableString.Invariant($"{s.ElementType}*{s.RawBytes}/{s.ChunkBytes}")));
        text += " < " + job.Identity(data => DataHash.Xxh128(data, cancellation).ToString("x32", System.Globalization.CultureInfo.InvariantCulture));
        return Convert.ToHexStringLower(System.IO.Hashing.XxHash128.Hash(System.Text.Encoding.UTF8.GetBytes(text)));
    }

    /// <summary>Sums of errors, then per stream: where it begins, how many bytes and chunks it has, its chunk records.</summary>
    private static byte[] Write(EncodeJob job, ErrorSums errors)
    {
        byte[] state = new byte[16 + job.Streams.Sum(s => StreamHeaderBytes + (s.Chunks.Count * PackLayout.ChunkRecordBytes))];
        BinaryPrimitives.WriteDoubleLittleEndian(state, errors.Values);
        BinaryPrimitives.WriteDoubleLittleEndian(state.AsSpan(8), errors.Errors);
        Span<byte> rest = state.AsSpan(16);
        foreach (StreamPlan stream in job.Streams)
        {
            BinaryPrimitives.WriteInt64LittleEndian(rest, stream.BeginBytes);
            BinaryPrimitives.WriteInt64LittleEndian(rest[8..], stream.StoredBytes);
            BinaryPrimitives.WriteInt32LittleEndian(rest[16..], stream.Chunks.Count);
            rest = rest[StreamHeaderBytes..];
            foreach (ChunkRecord record in stream.Chunks)
            {
                record.Write(rest);
                rest = rest[PackLayout.ChunkRecordBytes..];
            }
        }

        return state;
    }

    private static bool TryRead(EncodeJob job, ReadOnlySpan<byte> state, out ErrorSums errors)
    {
        errors = default;
        if (state.Length < 16)
        {
            return false;
        }

        errors = new ErrorSums(BinaryPrimitives.ReadDoubleLittleEndian(state), BinaryPrimitives.ReadDoubleLittleEndian(state[8..]));
        state = state[16..];
        foreach (StreamPlan stream in job.Streams)
        {
            if (state.Length < StreamHeaderBytes || BinaryPrimitives.ReadInt32LittleEndian(state[16..]) != stream.ChunkCount || state.Length - StreamHeaderBytes < stream.ChunkCount * PackLayout.ChunkRecordBytes)
            {
                return false;
            }

            stream.BeginBytes = BinaryPrimitives.ReadInt64LittleEndian(state);
            stream.StoredBytes = BinaryPrimitives.ReadInt64LittleEndian(state[8..]);
            state = state[StreamHeaderBytes..];
            stream.Chunks.Clear();
            for (long c = 0; c < stream.ChunkCount; c++, state = state[PackLayout.ChunkRecordBytes..])
            {
                if (!ChunkRecord.TryRead(state, out ChunkRecord record))
                {
                    return false;
                }

                stream.Chunks.Add(record);
            }
        }

        return state.IsEmpty;
    }
}
