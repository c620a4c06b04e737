using System.Buffers;
using System.Collections.Immutable;
using System.Security.Cryptography;

namespace ModelPack.Pack;

/// <summary>
/// An opened artifact. Opening reads and verifies what describes the data, not the data; streams are decoded and verified when they are read. Thread-safe.
/// </summary>
public sealed partial class PackReader : IDisposable
{
    private const long CacheBytes = 16 << 20;

    private readonly Artifact _artifact;
    private readonly ChunkCache _cache = new(CacheBytes);
    private readonly int[] _verified;
    private readonly ImmutableArray<PackStream> _streams;
    private readonly Dictionary<string, PackTensor> _byName;
    private long _storedBytesRead;

    private PackReader(MappedFile file)
    {
        File = file;
        _artifact = Artifact.Load(file);
        var manifest = new ManifestReader(this, _artifact, file.Path);
        manifest.Read();
        _streams = manifest.Streams;
        Tensors = manifest.Tensors;
        Blobs = manifest.Blobs;
        Metadata = manifest.Metadata;
        _byName = Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
        _verified = new int[((_artifact.Index.Length / PackLayout.ChunkRecordBytes) / 32) + 1];
    }

    /// <summary>The artifact's file.</summary>
    public MappedFile File { get; }

    /// <summary>Text properties given when it was written.</summary>
    public ImmutableSortedDictionary<string, string> Metadata { get; }

    /// <summary>All tensors, in stored order.</summary>
    public IReadOnlyList<PackTensor> Tensors { get; private set; }

    /// <summary>All blobs by name.</summary>
    public ImmutableSortedDictionary<string, TensorData> Blobs { get; }

    /// <summary>All stored streams in file order, those of blobs included.</summary>
    public IReadOnlyList<PackStream> Streams => _streams;

    /// <summary>Length of the artifact.</summary>
    public long LengthBytes => File.LengthBytes;

    /// <summary>Stored bytes of streams read so far, through whatever call (mapped streams are not counted): what a partial read has cost.</summary>
    public long StoredBytesRead => Interlocked.Read(ref _storedBytesRead);

    /// <summary>SHA-256 of the manifest and the index of chunks, which has the checksum of every one: the same for copies, other for any other content. Nothing is read.</summary>
    public byte[] Identity()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(_artifact.Manifest);
        hash.AppendData(_artifact.Index);
        return hash.GetHashAndReset();
    }

    /// <summary>Opens an artifact. No tensor data is read.</summary>
    /// <exception cref="ModelPackException">
    /// MP1001, MP1002 no such or unreadable file; MP1301 not an artifact; MP1302 a newer version; MP1303-MP1307 damaged; MP1308 a tensor does not fit its streams;
    /// MP1021, MP1022 an unknown number format or structure.
    /// </exception>
    public static PackReader Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new PackReader(file);
        }
        catch (ModelPackException e)
        {
            file.Dispose();
            throw e.Path is null ? e.WithPath(path) : e;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>True when the file is named <c>.mpack</c>, so that a truncated artifact is reported as such, or ends like an artifact under any name.</summary>
    /// <exception cref="ModelPackException">MP1001, MP1002.</exception>
    public static bool IsNamedOrIsArtifact(string path) => path.EndsWith(".mpack", StringComparison.OrdinalIgnoreCase) || IsArtifact(path);

    /// <summary>True when the file ends like an artifact; says nothing about damage.</summary>
    /// <exception cref="ModelPackException">MP1001, MP1002.</exception>
    public static bool IsArtifact(string path)
    {
        using MappedFile file = MappedFile.Open(path);
        if (file.LengthBytes < PackLayout.RootBytes)
        {
            return false;
        }

        Span<byte> root = stackalloc byte[PackLayout.RootBytes];
        file.Read(file.LengthBytes - PackLayout.RootBytes, root);
        return RootRecord.HasMagic(root);
    }

    /// <summary>The tensor of this name, or null. <c>w#1</c> is the second component of w and <c>w#1#0</c> the first one of that, where no tensor has that name itself.</summary>
    public PackTensor? Find(string name) =>
        _byName.TryGetValue(name, out PackTensor? found) ? found
        : InitializerBinding.SplitComponent(name) is (string tensor, int component) && Find(tensor) is PackTensor whole ? Component(whole, component)
        : null;

    public void Dispose()
    {
        File.Dispose();
        _base?.Dispose();
    }

    /// <summary>A component of the structure that has several; null when there is none, or no such component.</summary>
    private static PackTensor? Component(PackTensor tensor, int component)
    {
        WeightEncoding encoding = tensor.Encoding;
        while (encoding is StructuredEncoding { Components: [WeightEncoding only] })
        {
            encoding = only;
        }

        if (encoding is not StructuredEncoding { Components: var parts } || component >= parts.Length)
        {
            return null;
        }

        // Streams lie in the order of the tree.
        int first = parts.Take(component).Sum(CountStreams);
        return new PackTensor(InitializerBinding.ComponentName(tensor.Name, component), tensor.DType, parts[component].Shape, parts[component], [.. tensor.Streams.Skip(first).Take(CountStreams(parts[component]))]);
    }

    private static int CountStreams(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding dense => dense.Streams.Length,
        StructuredEncoding structured => structured.Components.Sum(CountStreams),
        _ => 0,
    };

    internal ChunkRecord Record(PackStream stream, long chunk) => _artifact.Chunk(stream.FirstChunk + chunk, File.Path);

    /// <summary>Decodes one chunk into exactly its length and checks the result, and what is stored where the decoder is not ours.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="chunk">Number of the chunk in the stream.</param>
    /// <param name="raw">Room for the chunk.</param>
    /// <param name="everyHash">Check what is stored in any case: bytes that no decoder looks at count too.</param>
    /// <exception cref="ModelPackException">MP1309, MP1310.</exception>
    internal void DecodeChunk(PackStream stream, long chunk, Span<byte> raw, bool everyHash = false)
    {
        ChunkRecord record = Record(stream, chunk);
        Interlocked.Add(ref _storedBytesRead, record.StoredBytes);
        if (record.Codec == 0)
        {
            File.Read(record.OffsetBytes, raw);
            CheckHash(stream, chunk, record, Xxh3.Hash64(raw), record.StoredHash);
            return;
        }

        if (!ModelPack.Codecs.Codecs.TryGet(record.Codec, out ICodec? codec))
        {
            throw new ModelPackException(ErrorCodes.ArtifactCodec, $"chunk {chunk} of '{stream.Name}' uses codec {record.Codec}, which this version does not have", File.Path);
        }

        byte[] stored = ArrayPool<byte>.Shared.Rent(record.StoredBytes);
        try
        {
            Span<byte> bytes = stored.AsSpan(0, record.StoredBytes);
            File.Read(record.OffsetBytes, bytes);
            if (everyHash || codec.NeedsCheckedInput)
            {
                CheckHash(stream, chunk, record, Xxh3.Hash64(bytes), record.StoredHash);
            }

            if (!codec.TryDecode(bytes, stream.ElementType, raw, out ulong hash))
            {
                throw Damaged(stream, chunk, record, $"{codec.Id} cannot decode it");
            }

            CheckHash(stream, chunk, record, hash, record.RawHash);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(stored);
        }
    }

    /// <summary>Copies part of a chunk. Coded chunks come from a small cache; stored ones are verified once as a whole, then read where needed.</summary>
    internal void ReadPart(PackStream stream, long chunk, int offset, Span<byte> destination)
    {
        long number = stream.FirstChunk + chunk;
        ChunkRecord record = Record(stream, chunk);
        if (record.Codec == 0 && IsVerified(number))
        {
            Interlocked.Add(ref _storedBytesRead, destination.Length);
            File.Read(record.OffsetBytes + offset, destination);
            return;
        }

        if (_cache.TryCopy(number, offset, destination))
        {
            return;
        }

        byte[] bytes = _cache.Take(record.RawBytes);
        DecodeChunk(stream, chunk, bytes);
        bytes.AsSpan(offset, destination.Length).CopyTo(destination);
        MarkVerified(number);
        _cache.Add(number, bytes);
    }

    /// <summary>Checks a stored chunk in the mapping, once.</summary>
    internal void VerifyMapped(PackStream stream, long chunk)
    {
        long number = stream.FirstChunk + chunk;
        if (!IsVerified(number))
        {
            ChunkRecord record = Record(stream, chunk);
            CheckHash(stream, chunk, record, Xxh3.Hash64(File.Span(record.OffsetBytes, record.StoredBytes)), record.StoredHash);
            MarkVerified(number);
        }
    }

    private bool IsVerified(long number) => (Volatile.Read(ref _verified[number / 32]) & (1 << (int)(number % 32))) != 0;

    private void MarkVerified(long number) => Interlocked.Or(ref _verified[number / 32], 1 << (int)(number % 32));

    private void CheckHash(PackStream stream, long chunk, ChunkRecord record, ulong hash, ulong expected)
    {
        if (hash != expected)
        {
            throw Damaged(stream, chunk, record, "its checksum does not match");
        }
    }

    private ModelPackException Damaged(PackStream stream, long chunk, ChunkRecord record, string why) =>
        new(ErrorCodes.ArtifactChunk, $"chunk {chunk} of '{stream.Name}' is damaged: {why}", File.Path, offsetBytes: record.OffsetBytes);
}
