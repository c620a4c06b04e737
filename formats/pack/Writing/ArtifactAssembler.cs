using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.IO.Hashing;
using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>Lays finished tiles out in the file, in order, and adds header, manifest, index and root when all are there.</summary>
internal sealed class ArtifactAssembler : IDisposable
{
    private readonly WritePlan _plan;
    private readonly OutputFile _file;
    private readonly long _spillBytes;
    private readonly long _dataStart;
    private readonly Dictionary<EncodeJob, ErrorSums> _errors = [];
    private SpillBuffer[] _waiting = [];
    private readonly Action<EncodeJob, long, long, ulong, ErrorSums>? _closed;
    private readonly XxHash3? _hash;
    private long _jobBegin;
    private int _openJob = -1;
    private long _position;

    /// <param name="plan">What is written.</param>
    /// <param name="file">Where to.</param>
    /// <param name="spillBytes">Memory for streams that wait.</param>
    /// <param name="closed">Told of every job whose bytes are written: where they begin and end, their hash, and what it measured. Null where nothing is to be resumed.</param>
    /// <exception cref="ModelPackException">MP4005.</exception>
    public ArtifactAssembler(WritePlan plan, OutputFile file, long spillBytes, Action<EncodeJob, long, long, ulong, ErrorSums>? closed = null)
    {
        _closed = closed;
        _hash = closed is null ? null : new XxHash3();
        _plan = plan;
        _file = file;
        _spillBytes = spillBytes;
        long chunks = 0;
        long upperBound = 0;
        bool pages = false;
        foreach (StreamPlan stream in plan.Streams)
        {
            chunks += stream.ChunkCount;
            upperBound += stream.RawBytes + PackLayout.PageAlignment;
            pages |= stream.RawBytes >= PackLayout.PageAlignFromBytes;
        }

        upperBound += (chunks * PackLayout.ChunkRecordBytes) + PackLayout.MaxManifestBytes;
        long header = HeaderJson.MaxBytes([.. plan.Streams.Select(s => s.Name), PackLayout.ManifestName, PackLayout.IndexName, PackLayout.RootName], upperBound);
        _dataStart = PackLayout.AlignUp(sizeof(ulong) + header, pages ? PackLayout.PageAlignment : PackLayout.StreamAlignment);
        if (_dataStart - sizeof(ulong) > PackLayout.MaxHeaderBytes || chunks > PackLayout.MaxIndexBytes / PackLayout.ChunkRecordBytes)
        {
            throw new ModelPackException(ErrorCodes.PackHeaderTooLarge, $"{plan.Streams.Count} streams need a header of {_dataStart} bytes and an index of {chunks} chunks");
        }

        _position = _dataStart;
    }

    /// <summary>Where the next job's bytes begin before they are aligned.</summary>
    public long Position => _position;

    public ErrorSums Errors(EncodeJob job) => _errors.GetValueOrDefault(job);

    /// <summary>Takes the next tile. The first stream goes to the file at once, the others wait for the end of the job.</summary>
    public void Add(TileResult result)
    {
        OpenJobsUpTo(result.Job);
        ErrorSums sums = _errors.GetValueOrDefault(result.Job);
        sums.Add(result.Errors);
        _errors[result.Job] = sums;
        for (int s = 0; s < result.Chunks.Length; s++)
        {
            StreamPlan stream = result.Job.Streams[s];
            (NativeBuffer buffer, ChunkRecord record) = result.Chunks[s];
            if (stream.RawBytes == 0)
            {
                continue;
            }

            ReadOnlySpan<byte> bytes = buffer.GetSpan()[..record.StoredBytes];
            stream.StoredBytes += bytes.Length;
            if (s == 0)
            {
                stream.Chunks.Add(record with { OffsetBytes = _position });
                Write(bytes);
            }
            else
            {
                stream.Chunks.Add(record);
                _waiting[s - 1].Append(bytes);
            }
        }

        if (result.Tile == result.Job.TileCount - 1)
        {
            CloseJob(result.Job);
        }
    }

    /// <summary>Takes a job that is written already.</summary>
    /// <param name="job">The next one.</param>
    /// <param name="end">Where its bytes end.</param>
    /// <param name="errors">What it measured.</param>
    public void Keep(EncodeJob job, long end, ErrorSums errors)
    {
        OpenJobsUpTo(job);
        Dispose();
        _errors[job] = errors;
        _position = end;
    }

    /// <summary>Writes what describes the streams; the file is complete then.</summary>
    /// <returns>Length of the file.</returns>
    public long Finish(ImmutableSortedDictionary<string, string> metadata)
    {
        OpenJobsUpTo(null);
        ReadOnlyMemory<byte> manifest = ManifestJson.Write(_plan, metadata);
        if (manifest.Length > PackLayout.MaxManifestBytes)
        {
            throw new ModelPackException(ErrorCodes.PackHeaderTooLarge, $"the manifest needs {manifest.Length} bytes, more than {PackLayout.MaxManifestBytes}");
        }

        ReadOnlyMemory<byte> stored = Compress(manifest);
        long manifestAt = Align(PackLayout.StreamAlignment);
        ulong manifestHash = Xxh3.Hash64(stored.Span);
        Write(stored.Span);
        long indexAt = Align(PackLayout.StreamAlignment);
        (long indexBytes, ulong indexHash) = WriteIndex();
        long rootAt = Align(PackLayout.StreamAlignment);
        long fileBytes = rootAt + PackLayout.RootBytes;
        byte[] header = Header(manifestAt, indexAt, rootAt, fileBytes);
        _file.Write(0, header);
        var root = new RootRecord(
            PackLayout.Version, fileBytes, header.Length, Xxh3.Hash64(header),
            manifestAt, stored.Length, manifest.Length, manifestHash, indexAt, indexBytes, indexHash);
        byte[] bytes = new byte[PackLayout.RootBytes];
        root.Write(bytes);
        Write(bytes);
        return fileBytes;
    }

    public void Dispose()
    {
        foreach (SpillBuffer buffer in _waiting)
        {
            buffer.Dispose();
        }

        _waiting = [];
    }

    private static ReadOnlyMemory<byte> Compress(ReadOnlyMemory<byte> manifest)
    {
        // LZ4, because any reader can decode it in twenty lines.
        ICodec lz4 = ModelPack.Codecs.Codecs.Candidates(CodecLevel.Max, DType.U8).First(c => c.Id == "lz4");
        byte[] room = new byte[manifest.Length - 1];
        return lz4.TryEncode(manifest.Span, DType.U8, room, out int written) ? room.AsMemory(0, written) : manifest;
    }

    private void OpenJobsUpTo(EncodeJob? job)
    {
        while (_openJob < 0 || _openJob >= _plan.Jobs.Count || _plan.Jobs[_openJob] != job)
        {
            if (++_openJob >= _plan.Jobs.Count)
            {
                return;
            }

            EncodeJob opened = _plan.Jobs[_openJob];
            _jobBegin = _position;
            _hash?.Reset();
            if (opened.IsKept)
            {
                continue; // Its streams know where they begin.
            }

            Begin(opened, 0);
            if (opened.TileCount == 0)
            {
                for (int s = 1; s < opened.Streams.Length; s++)
                {
                    Begin(opened, s);
                }

                continue;
            }

            _waiting = new SpillBuffer[opened.Streams.Length - 1];
            for (int s = 0; s < _waiting.Length; s++)
            {
                _waiting[s] = new SpillBuffer(_spillBytes / _waiting.Length, _file.OpenSpillFile);
            }
        }
    }

    private void CloseJob(EncodeJob job)
    {
        for (int s = 1; s < job.Streams.Length; s++)
        {
            StreamPlan stream = job.Streams[s];
            Begin(job, s);
            long at = _position;
            for (int c = 0; c < stream.Chunks.Count; c++)
            {
                stream.Chunks[c] = stream.Chunks[c] with { OffsetBytes = at };
                at += stream.Chunks[c].StoredBytes;
            }

            _waiting[s - 1].CopyTo(piece => Write(piece.Span));
        }

        Dispose();
        job.Release();
        if (_hash is not null)
        {
            _closed?.Invoke(job, _jobBegin, _position, _hash.GetCurrentHashAsUInt64(), Errors(job));
        }
    }

    private void Begin(EncodeJob job, int s)
    {
        StreamPlan stream = job.Streams[s];
        if (stream.RawBytes > 0)
        {
            bool page = stream.RawBytes >= PackLayout.PageAlignFromBytes && job.Codecs[s] is null;
            Align(page ? PackLayout.PageAlignment : PackLayout.StreamAlignment);
        }

        stream.BeginBytes = _position;
    }

    /// <summary>Moves on to a multiple of <paramref name="alignment"/>; the bytes between stay zero.</summary>
    private long Align(long alignment)
    {
        long aligned = PackLayout.AlignUp(_position, alignment);
        if (_hash is not null && aligned > _position)
        {
            Write(new byte[aligned - _position]); // What an interrupted write left here may be something else.
        }

        return _position = aligned;
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        _file.Write(_position, bytes);
        _position += bytes.Length;
        _hash?.Append(bytes);
    }

    private (long Bytes, ulong Hash) WriteIndex()
    {
        var hash = new XxHash3();
        byte[] block = ArrayPool<byte>.Shared.Rent(PackLayout.ChunkRecordBytes * 1024);
        int used = 0;
        long start = _position;
        foreach (StreamPlan stream in _plan.Streams)
        {
            foreach (ChunkRecord record in stream.Chunks)
            {
                record.Write(block.AsSpan(used));
                used += PackLayout.ChunkRecordBytes;
                if (used == PackLayout.ChunkRecordBytes * 1024)
                {
                    Flush();
                }
            }
        }

        Flush();
        ArrayPool<byte>.Shared.Return(block);
        return (_position - start, hash.GetCurrentHashAsUInt64());

        void Flush()
        {
            hash.Append(block.AsSpan(0, used));
            Write(block.AsSpan(0, used));
            used = 0;
        }
    }

    private byte[] Header(long manifestAt, long indexAt, long rootAt, long fileBytes)
    {
        var begins = _plan.Streams.Select(s => (s.Name, s.BeginBytes)).ToList();
        begins.Add((PackLayout.ManifestName, manifestAt));
        begins.Add((PackLayout.IndexName, indexAt));
        begins.Add((PackLayout.RootName, rootAt));

        // Each entry reaches to the next one: padding belongs to the entry before it, and no hole is left.
        var entries = new (string, long, long)[begins.Count];
        for (int i = 0; i < entries.Length; i++)
        {
            long end = i + 1 < entries.Length ? begins[i + 1].BeginBytes : fileBytes;
            entries[i] = (begins[i].Name, begins[i].BeginBytes - _dataStart, end - _dataStart);
        }

        ReadOnlyMemory<byte> text = HeaderJson.Write(entries);
        byte[] header = new byte[_dataStart];
        BinaryPrimitives.WriteInt64LittleEndian(header, _dataStart - sizeof(ulong));
        text.Span.CopyTo(header.AsSpan(sizeof(ulong)));
        header.AsSpan(sizeof(ulong) + text.Length).Fill((byte)' ');
        return header;
    }
}
