using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Kernels;
using ModelPack.Runtime.Loading;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Prepared;

/// <summary>
/// Weights of an artifact in the form in which they are used, in a file that is mapped read-only: kept from one opening to the next, shared by processes, and given up by the system when it needs the memory. Disposed after
/// everything that reads them.
/// </summary>
internal sealed unsafe class PreparedFile : IDisposable
{
    /// <summary>Ending of the names of such files.</summary>
    public const string Extension = ".weights";

    /// <summary>Piece that a thread reads ahead at once.</summary>
    private const long PieceBytes = 32 << 20;

    private readonly MappedFile _file;

    private PreparedFile(MappedFile file, PreparedHeader header, IReadOnlyList<WeightSlot> slots)
    {
        _file = file;
        Weights = [.. slots.Zip(header.Entries, (slot, entry) => new LoadedWeight(slot.Location, WeightBuffer.Over((nint)file.Pointer + (nint)entry.OffsetBytes, entry.LengthBytes), slot.Initializers, slot.IsReadInPlace))];
    }

    /// <summary>The weights, in the order of their slots.</summary>
    public ImmutableArray<LoadedWeight> Weights { get; }

    /// <summary>Opens the file of an artifact's weights in a folder; where there is none, or not a whole one, it is made: under another name, flushed to the disk and renamed, so that any number of processes may do so at once.</summary>
    /// <param name="folder">The folder, made when it is not there.</param>
    /// <param name="bindings">The weights.</param>
    /// <param name="source">The artifact.</param>
    /// <param name="options">Threads, and who is told of a file that is not whole.</param>
    /// <returns>Null where weights of this source cannot be kept: it has no identity, or the bindings contradict each other.</returns>
    /// <exception cref="ModelPackException">MP1005: the folder cannot be written, or the disk is full. MP5090: the file is damaged again as soon as it is written. Errors of the artifact.</exception>
    public static PreparedFile? Open(string folder, IReadOnlyList<InitializerBinding> bindings, IWeightSource source, ModelSessionOptions options)
    {
        ImmutableArray<WeightSlot> slots = WeightSlot.Of(bindings);
        long[] lengths = [.. slots.Select(s => s.TryLength(out long bytes) ? bytes : -1)];
        if (source.Identity is not byte[] artifact || lengths.Contains(-1))
        {
            return null;
        }

        byte[] key = PreparedKey.Of(artifact, slots);
        if (PreparedHeader.Plan(artifact, key, lengths) is not PreparedHeader plan)
        {
            return null;
        }

        string path = Path.Combine(folder, PreparedKey.FileName(key));
        if (TryOpen(path, plan, slots, out string? problem) is PreparedFile found)
        {
            return found;
        }

        if (problem is not null)
        {
            options.OnWarning?.Invoke($"{path}: warning {ErrorCodes.PreparedDamaged}: {problem}; the weights are decoded again");
        }

        try
        {
            Make(path, plan, write => WeightLoader.LoadEach(bindings, source, options.LoadThreads, write));
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.FileUnwritable && TryOpen(path, plan, slots, out _) is PreparedFile made)
        {
            return made; // By another process, and a file that is mapped cannot be replaced on every system.
        }

        return TryOpen(path, plan, slots, out problem) ?? throw new ModelPackException(ErrorCodes.PreparedDamaged, problem ?? "is gone as soon as it is written", path);
    }

    /// <summary>Writes the file.</summary>
    /// <exception cref="ModelPackException">MP1005; errors of the artifact. Nothing is left.</exception>
    private static void Make(string path, PreparedHeader plan, Action<Action<LoadedWeight>> load)
    {
        using var files = new AtomicFiles();
        files.AddFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        files.Add(path, stream => PreparedWriter.Write(stream, plan, load));
        files.Commit();
    }

    /// <param name="path">The file.</param>
    /// <param name="plan">What its header must say, but for checksums.</param>
    /// <param name="slots">What it holds.</param>
    /// <param name="problem">What is wrong with it; null where it is whole, or not there.</param>
    private static PreparedFile? TryOpen(string path, PreparedHeader plan, IReadOnlyList<WeightSlot> slots, out string? problem)
    {
        problem = null;
        if (!File.Exists(path))
        {
            return null;
        }

        MappedFile file;
        try
        {
            file = MappedFile.Open(path);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.FileNotFound)
        {
            return null; // Deleted meanwhile.
        }

        try
        {
            problem = PreparedHeader.TryRead(file, out PreparedHeader? header);
            if (problem is null && !IsOf(plan, header!))
            {
                problem = "holds the weights of another artifact";
            }

            if (problem is null)
            {
                var opened = new PreparedFile(file, header!, slots);
                file = null!;
                return opened;
            }

            return null;
        }
        finally
        {
            file?.Dispose();
        }
    }

    private static bool IsOf(PreparedHeader plan, PreparedHeader header) =>
        plan.Artifact.AsSpan().SequenceEqual(header.Artifact) && plan.Key.AsSpan().SequenceEqual(header.Key)
        && plan.Entries.Length == header.Entries.Length && plan.Entries.Zip(header.Entries).All(p => p.First.LengthBytes == p.Second.LengthBytes);

    /// <summary>
    /// Begins to read what operators take from the file, on several threads, so that the first run finds it in memory and mapped; in large pages where the system has them. Nothing where half of the memory would not hold it.
    /// </summary>
    /// <param name="threads">Threads; 0 means one per processor.</param>
    /// <returns>To be waited for before this is disposed.</returns>
    public Task ReadAhead(int threads)
    {
        WeightBuffer[] read = [.. Weights.Where(w => w.IsReadInPlace).Select(w => w.Buffer)];
        if (read.Sum(b => b.LengthBytes) > GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2)
        {
            return Task.CompletedTask;
        }

        HugePages.Prefer((nint)_file.Pointer, _file.LengthBytes);
        (nint Address, long Bytes)[] pieces = [.. read.SelectMany(b => Pieces(b))];
        return Task.Run(() => Parallel.ForEach(pieces, new ParallelOptions { MaxDegreeOfParallelism = threads > 0 ? threads : Environment.ProcessorCount }, static piece => FilePages.Read(piece.Address, piece.Bytes)));
    }

    /// <summary>Says that what ONNX Runtime has copied is not needed any more.</summary>
    public void GiveUpCopied()
    {
        foreach (LoadedWeight weight in Weights.Where(w => !w.IsReadInPlace))
        {
            FilePages.GiveUp(weight.Buffer.Address, weight.Buffer.LengthBytes);
        }
    }

    public void Dispose() => _file.Dispose();

    private static IEnumerable<(nint Address, long Bytes)> Pieces(WeightBuffer buffer)
    {
        for (long at = 0; at < buffer.LengthBytes; at += PieceBytes)
        {
            yield return (buffer.Address + (nint)at, Math.Min(PieceBytes, buffer.LengthBytes - at));
        }
    }

    /// <summary>Checks files of prepared weights: header, place, length and every checksum.</summary>
    /// <param name="folder">Where they are.</param>
    /// <param name="artifact">Identity of the artifact whose weights are checked; those of others are left alone, but not files of which nobody can say whose they are.</param>
    /// <param name="cancellation">Checked between weights.</param>
    /// <returns>Problems, as lines, and the bytes and files that were found whole.</returns>
    /// <exception cref="ModelPackException">MP1001: no such folder. A file cannot be read.</exception>
    public static (ImmutableArray<string> Problems, int Files, long Bytes) Check(string folder, ReadOnlyMemory<byte> artifact, CancellationToken cancellation)
    {
        if (!Directory.Exists(folder))
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, "no such folder", folder);
        }

        var problems = ImmutableArray.CreateBuilder<string>();
        (int files, long bytes) = (0, 0L);
        foreach (string path in Directory.EnumerateFiles(folder, "*" + Extension).Order(StringComparer.Ordinal))
        {
            using MappedFile file = MappedFile.Open(path);
            string? problem = PreparedHeader.TryRead(file, out PreparedHeader? header);
            if (problem is null && !header!.Artifact.AsSpan().SequenceEqual(artifact.Span))
            {
                continue;
            }

            problem ??= Path.GetFileName(path) != PreparedKey.FileName(header!.Key) ? "has the name of other weights" : null;
            for (int i = 0; problem is null && i < header!.Entries.Length; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                PreparedEntry entry = header.Entries[i];
                problem = PreparedHeader.Checksum((nint)file.Pointer + (nint)entry.OffsetBytes, entry.LengthBytes) == entry.Checksum ? null
                    : string.Create(CultureInfo.InvariantCulture, $"is damaged: weight {i} of {header.Entries.Length}, {entry.LengthBytes} bytes at {entry.OffsetBytes}, is not what was written");
            }

            if (problem is null)
            {
                files++;
                bytes += file.LengthBytes;
            }
            else
            {
                problems.Add(new ModelPackException(ErrorCodes.PreparedDamaged, $"{problem}; delete it, and it is made again", path).Line);
            }
        }

        return (problems.ToImmutable(), files, bytes);
    }
}
