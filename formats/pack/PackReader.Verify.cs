using System.Buffers;

namespace ModelPack.Pack;

/// <content>Checking every byte.</content>
public sealed partial class PackReader
{
    /// <summary>
    /// Reads the whole artifact and checks every byte: chunks against both hashes, padding against zero. What opening checks (header, manifest, index, root) has
    /// been checked already.
    /// </summary>
    /// <param name="threads">Threads to use.</param>
    /// <param name="progress">Told after every chunk, from any thread.</param>
    /// <param name="cancellation">Stops between chunks.</param>
    /// <returns>All problems in file order; empty when the artifact is sound.</returns>
    public IReadOnlyList<PackProblem> Verify(int threads = 1, IProgress<PackProgress>? progress = null, CancellationToken cancellation = default)
    {
        long total = _streams.Sum(s => s.LengthBytes);
        long done = 0;
        string?[] owners = Owners();
        var found = new List<(int Stream, PackProblem Problem)>();
        ParallelTiles.Run(
            _artifact.Index.Length / PackLayout.ChunkRecordBytes,
            threads,
            number =>
            {
                PackStream stream = StreamOf(number);
                long chunk = number - stream.FirstChunk;
                if (Check(stream, chunk) is ModelPackException e)
                {
                    lock (found)
                    {
                        found.Add((stream.Index, new PackProblem(e.Code, stream.Name, owners[stream.Index], chunk, e.Message)));
                    }
                }

                long now = Interlocked.Add(ref done, stream.RawLength(chunk));
                progress?.Report(new PackProgress(now, total, owners[stream.Index] ?? stream.Name));
            },
            cancellation);
        return InFileOrder(found, owners);
    }

    /// <summary>The first tensor that uses a stream, by the number of the stream.</summary>
    private string?[] Owners()
    {
        var owners = new string?[_streams.Length];
        foreach (PackTensor tensor in Tensors)
        {
            foreach (PackTensorStream stream in tensor.Streams)
            {
                owners[stream.Stream.Index] ??= tensor.Name;
            }
        }

        return owners;
    }

    /// <summary>The problems of chunks and those of the padding.</summary>
    private PackProblem[] InFileOrder(List<(int Stream, PackProblem Problem)> chunks, string?[] owners) =>
        [.. chunks.Concat(PaddingProblems(owners)).OrderBy(f => f.Stream).ThenBy(f => f.Problem.Chunk).Select(f => f.Problem)];

    private ModelPackException? Check(PackStream stream, long chunk)
    {
        int length = stream.RawLength(chunk);
        byte[] raw = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            DecodeChunk(stream, chunk, raw.AsSpan(0, length), everyHash: true);
            return null;
        }
        catch (ModelPackException e)
        {
            return e;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(raw);
        }
    }

    private IEnumerable<(int Stream, PackProblem Problem)> PaddingProblems(string?[] owners)
    {
        foreach (PackStream stream in _streams)
        {
            HeaderRange range = _artifact.Header.Ranges[stream.Name];
            if (!IsZero(range.Begin + stream.StoredBytes, range.End))
            {
                yield return (stream.Index, new PackProblem(ErrorCodes.ArtifactPadding, stream.Name, owners[stream.Index], -1, $"bytes after '{stream.Name}' are not zero"));
            }
        }

        RootRecord root = _artifact.Root;
        if (!IsZero(root.ManifestOffset + root.ManifestStoredBytes, root.IndexOffset) || !IsZero(root.IndexOffset + root.IndexBytes, LengthBytes - PackLayout.RootBytes))
        {
            yield return (_streams.Length, new PackProblem(ErrorCodes.ArtifactPadding, PackLayout.ManifestName, null, -1, "bytes after the manifest or the index are not zero"));
        }
    }

    private bool IsZero(long begin, long end)
    {
        Span<byte> bytes = stackalloc byte[PackLayout.PageAlignment];
        bytes = bytes[..(int)(end - begin)];
        if (!bytes.IsEmpty)
        {
            File.Read(begin, bytes);
        }

        return bytes.IndexOfAnyExcept((byte)0) < 0;
    }

    /// <summary>The stream that chunk <paramref name="number"/> of the index belongs to.</summary>
    private PackStream StreamOf(long number)
    {
        int low = 0;
        int high = _streams.Length - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            if (_streams[middle].FirstChunk <= number)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        return _streams[low];
    }
}
