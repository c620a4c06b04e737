using System.Runtime.ExceptionServices;

namespace ModelPack.Pack;

/// <summary>
/// Works on tiles with several threads and hands them over in order. Tiles are admitted in order and only while their buffers fit into the memory limit, so
/// the tile the writer waits for is always among those being worked on. Which thread does a tile never influences its bytes.
/// </summary>
internal sealed class TilePipeline
{
    private readonly IReadOnlyList<EncodeJob> _jobs;
    private readonly BufferPool _pool;
    private readonly long _limitBytes;
    private readonly CancellationToken _cancellation;
    private readonly object _gate = new();
    private readonly Dictionary<long, TileResult> _finished = [];
    private int _nextJob;
    private long _nextTile;
    private long _nextSequence;
    private long _admittedBytes;
    private bool _stop;

    /// <param name="jobs">Jobs in the order they are written.</param>
    /// <param name="pool">Where buffers come from.</param>
    /// <param name="limitBytes">Bytes that may be admitted at once.</param>
    /// <param name="cancellation">Stops the work.</param>
    public TilePipeline(IReadOnlyList<EncodeJob> jobs, BufferPool pool, long limitBytes, CancellationToken cancellation)
    {
        _jobs = jobs;
        _pool = pool;
        _limitBytes = limitBytes;
        _cancellation = cancellation;
    }

    /// <summary>Runs all tiles; <paramref name="consume"/> is called on the calling thread, tile after tile.</summary>
    public void Run(int threads, Action<TileResult> consume)
    {
        using CancellationTokenRegistration wake = _cancellation.Register(Stop);
        var workers = new Thread[Math.Max(1, threads)];
        for (int i = 0; i < workers.Length; i++)
        {
            workers[i] = new Thread(Work) { IsBackground = true, Name = "ModelPack encoder" };
            workers[i].Start();
        }

        try
        {
            for (long sequence = 0; Take(sequence) is TileResult result; sequence++)
            {
                try
                {
                    result.Failure?.Throw();
                    consume(result);
                }
                finally
                {
                    Release(result);
                }
            }

            _cancellation.ThrowIfCancellationRequested();
        }
        finally
        {
            Stop();
            foreach (Thread worker in workers)
            {
                worker.Join();
            }

            foreach (TileResult left in _finished.Values)
            {
                Release(left);
            }
        }
    }

    private static void Encode(EncodeJob job, TileResult result, BufferPool pool)
    {
        var raw = new NativeBuffer[job.Streams.Length];
        var memory = new Memory<byte>[raw.Length];
        for (int s = 0; s < raw.Length; s++)
        {
            int length = job.Streams[s].RawBytes == 0 ? 0 : job.Streams[s].RawLength(result.Tile);
            raw[s] = pool.Rent(length);
            memory[s] = raw[s].Memory[..length];
            result.Chunks[s].Buffer = raw[s];
        }

        ErrorSums errors = default;
        job.Produce(result.Tile, memory, pool, ref errors);
        result.Errors = errors;
        ICodec?[] codecs = job.Codecs;
        for (int s = 0; s < raw.Length; s++)
        {
            result.Chunks[s] = EncodeChunk(raw[s], memory[s].Length, codecs[s], job.Streams[s].ElementType, pool);
        }
    }

    private static (NativeBuffer Buffer, ChunkRecord Record) EncodeChunk(NativeBuffer raw, int length, ICodec? codec, DType elementType, BufferPool pool)
    {
        ReadOnlySpan<byte> bytes = raw.GetSpan()[..length];
        ulong rawHash = Xxh3.Hash64(bytes);
        for (; codec is not null && length > 1; codec = ModelPack.Codecs.Codecs.Fallback(codec, elementType))
        {
            NativeBuffer coded = pool.Rent(length);
            if (codec.TryEncode(bytes, elementType, coded.GetSpan()[..(length - 1)], out int written))
            {
                pool.Return(raw);
                return (coded, new ChunkRecord(0, written, length, codec.WireId, Xxh3.Hash64(coded.GetSpan()[..written]), rawHash));
            }

            pool.Return(coded);
        }

        return (raw, new ChunkRecord(0, length, length, 0, rawHash, rawHash));
    }

    private void Work()
    {
        while (Admit(out EncodeJob? job, out long tile, out long sequence))
        {
            var result = new TileResult(job!, tile, job!.ResultBytes);
            try
            {
                Encode(job, result, _pool);
            }
            catch (ModelPackException e) when (e.Tensor is null)
            {
                result.Failure = ExceptionDispatchInfo.Capture(new ModelPackException(e.Code, e.Message, e.Path, job.Owner, innerException: e));
            }
#pragma warning disable CA1031 // Every failure travels to the writing thread, which throws the earliest one.
            catch (Exception e)
#pragma warning restore CA1031
            {
                result.Failure = ExceptionDispatchInfo.Capture(e);
            }

            lock (_gate)
            {
                _admittedBytes -= job.ScratchBytes;
                _finished[sequence] = result;
                Monitor.PulseAll(_gate);
            }
        }
    }

    private bool Admit(out EncodeJob? job, out long tile, out long sequence)
    {
        lock (_gate)
        {
            while (!_stop)
            {
                while (_nextJob < _jobs.Count && _nextTile >= _jobs[_nextJob].TileCount)
                {
                    _nextJob++;
                    _nextTile = 0;
                }

                if (_nextJob >= _jobs.Count)
                {
                    break;
                }

                job = _jobs[_nextJob];
                long bytes = job.ResultBytes + job.ScratchBytes;
                if (_admittedBytes == 0 || _admittedBytes + bytes <= _limitBytes)
                {
                    _admittedBytes += bytes;
                    tile = _nextTile++;
                    sequence = _nextSequence++;
                    return true;
                }

                Monitor.Wait(_gate);
            }
        }

        (job, tile, sequence) = (null, 0, 0);
        return false;
    }

    private TileResult? Take(long sequence)
    {
        lock (_gate)
        {
            while (!_stop)
            {
                if (_finished.Remove(sequence, out TileResult? result))
                {
                    return result;
                }

                while (_nextJob < _jobs.Count && _nextTile >= _jobs[_nextJob].TileCount)
                {
                    _nextJob++;
                    _nextTile = 0;
                }

                if (_nextJob >= _jobs.Count && sequence >= _nextSequence)
                {
                    return null;
                }

                Monitor.Wait(_gate);
            }
        }

        return null;
    }

    private void Release(TileResult result)
    {
        foreach ((NativeBuffer buffer, _) in result.Chunks)
        {
            _pool.Return(buffer);
        }

        lock (_gate)
        {
            _admittedBytes -= result.HeldBytes;
            Monitor.PulseAll(_gate);
        }
    }

    private void Stop()
    {
        lock (_gate)
        {
            _stop = true;
            Monitor.PulseAll(_gate);
        }
    }
}
