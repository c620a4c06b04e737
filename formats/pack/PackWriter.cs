using System.Collections.Immutable;

namespace ModelPack.Pack;

/// <summary>Writes artifacts: pulls every tensor through its encoding and its codecs, tile by tile, on several threads, within a memory limit.</summary>
public static class PackWriter
{
    /// <summary>
    /// Writes <paramref name="content"/> to <paramref name="path"/>. The file appears complete or not at all; an existing one is replaced only then. The bytes depend on
    /// the content and the level alone.
    /// </summary>
    /// <exception cref="ModelPackException">
    /// MP4001 duplicate names, MP4002 the output cannot be written, MP4003 a row too long, MP4004 the memory limit too small, MP4005 too many names;
    /// MP102x for encodings that do not fit their streams; MP100x when a source cannot be read.
    /// </exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing was left behind.</exception>
    public static PackResult Write(string path, PackContent content, PackOptions options)
    {
        options.Cancellation.ThrowIfCancellationRequested();
        var plan = new WritePlan(content, new CodecPolicy(options.Level, options.Portable));

        // An eighth for streams that wait for an earlier one, an eighth for what value readers keep; of the rest a fifth as slack, because pooled
        // buffers may be up to a quarter larger than asked.
        long spillBytes = options.MaxMemoryBytes / 8;
        long poolBytes = options.MaxMemoryBytes - (2 * spillBytes);
        long admitBytes = poolBytes / 5 * 4;
        foreach (EncodeJob job in plan.Jobs)
        {
            if (job.TileCount > 0 && job.ResultBytes + job.ScratchBytes > admitBytes)
            {
                throw new ModelPackException(
                    ErrorCodes.PackMemory,
                    $"one tile needs {job.ResultBytes + job.ScratchBytes} bytes of buffers; the memory limit of {options.MaxMemoryBytes} allows {admitBytes}",
                    tensor: job.Owner);
            }
        }

        try
        {
            return Write(path, content, options, plan, spillBytes, poolBytes, admitBytes);
        }
        catch (IOException e)
        {
            throw new ModelPackException(ErrorCodes.PackOutput, $"cannot be written: {e.Message}", path, innerException: e);
        }
    }

    private static PackResult Write(string path, PackContent content, PackOptions options, WritePlan plan, long spillBytes, long poolBytes, long admitBytes)
    {
        if (options.Resume is null)
        {
            return Write(path, content, options, plan, spillBytes, poolBytes, admitBytes, journal: null);
        }

        using OutputJournal journal = OutputJournal.Open(path, JobJournal.Context(options));
        try
        {
            PackResult result = Write(path, content, options, plan, spillBytes, poolBytes, admitBytes, journal);
            journal.Complete();
            return result with { ResumedParts = journal.KeptParts, Discarded = journal.Discarded };
        }
        catch (OperationCanceledException e) when (journal.HoldsParts)
        {
            throw new InterruptedWriteException($"cancelled{journal.Left}", e);
        }
        catch (IOException e)
        {
            throw new ModelPackException(ErrorCodes.PackOutput, $"cannot be written: {e.Message}{journal.Left}", path, innerException: e);
        }
    }

    private static PackResult Write(string path, PackContent content, PackOptions options, WritePlan plan, long spillBytes, long poolBytes, long admitBytes, OutputJournal? journal)
    {
        using var file = new OutputFile(path, journal);
        using var pool = new BufferPool(poolBytes);
        JobJournal? jobs = journal is null ? null : new JobJournal(journal, file, options.Cancellation);
        using var assembler = new ArtifactAssembler(plan, file, spillBytes, jobs is null ? null : jobs.Add);
        long total = plan.Streams.Sum(s => s.RawBytes);
        int kept = jobs?.Restore(plan, assembler) ?? 0;
        long done = plan.Jobs.Take(kept).Sum(j => j.Streams.Sum(s => s.RawBytes));
        new TilePipeline([.. plan.Jobs.Skip(kept)], pool, admitBytes, options.Cancellation).Run(options.Threads, result =>
        {
            assembler.Add(result);
            for (int s = 0; s < result.Chunks.Length; s++)
            {
                done += result.Chunks[s].Record.RawBytes;
            }

            options.Progress?.Report(new PackProgress(done, total, result.Job.Owner));
        });
        long bytes = assembler.Finish(content.Metadata);
        options.Cancellation.ThrowIfCancellationRequested();
        file.Commit(bytes);
        ImmutableArray<PackedTensor> tensors = [.. plan.Tensors.Select(t => Describe(t, assembler))];
        return new PackResult(bytes, tensors, pool.PeakBytes);
    }

    private static PackedTensor Describe(PlannedTensor tensor, ArtifactAssembler assembler)
    {
        PackTensorContent content = tensor.Content;
        long input = content.Shape.TryElementCount(out long count) && content.DType.TryStorageBytes(count, out long dense)
            ? dense
            : tensor.Encoding.AllStreams().Sum(s => s.RawBytes);
        double? error = null;
        if (!tensor.Measured.IsEmpty)
        {
            ErrorSums sums = default;
            foreach (QuantizeJob job in tensor.Measured)
            {
                sums.Add(assembler.Errors(job));
            }

            error = sums.Relative;
        }

        return new PackedTensor(
            content.Name, content.DType, content.Shape, tensor.Encoding.Describe(), input, tensor.OwnStreams.Sum(s => s.StoredBytes), error, tensor.SharedWith);
    }
}
