using System.Buffers.Binary;

namespace ModelPack.Pack;

/// <summary>What an artifact says about itself, checked part by part: root, header, manifest, index, and each against the others.</summary>
internal sealed class Artifact
{
    private Artifact(RootRecord root, HeaderEntries header, byte[] manifest, byte[] index)
    {
        Root = root;
        Header = header;
        Manifest = manifest;
        Index = index;
    }

    public RootRecord Root { get; }

    public HeaderEntries Header { get; }

    /// <summary>Decoded manifest text.</summary>
    public byte[] Manifest { get; }

    /// <summary>Chunk index, record after record.</summary>
    public byte[] Index { get; }

    /// <exception cref="ModelPackException">MP1301 to MP1307.</exception>
    public static Artifact Load(MappedFile file)
    {
        RootRecord root = LoadRoot(file);
        byte[] headerBytes = new byte[root.HeaderBytes];
        file.Read(0, headerBytes);
        if (Xxh3.Hash64(headerBytes) != root.HeaderHash || BinaryPrimitives.ReadInt64LittleEndian(headerBytes) != root.HeaderBytes - sizeof(ulong))
        {
            throw new ModelPackException(ErrorCodes.ArtifactHeader, "the header is not the one that was written", file.Path, offsetBytes: 0);
        }

        HeaderEntries header = HeaderEntries.Parse(headerBytes.AsMemory(sizeof(ulong)), root.HeaderBytes, file.LengthBytes, file.Path);
        header.Require(PackLayout.ManifestName, root.ManifestOffset, root.ManifestStoredBytes, file.Path);
        header.Require(PackLayout.IndexName, root.IndexOffset, root.IndexBytes, file.Path);
        header.Require(PackLayout.RootName, file.LengthBytes - PackLayout.RootBytes, PackLayout.RootBytes, file.Path);
        byte[] manifest = LoadManifest(file, root);
        byte[] index = new byte[root.IndexBytes];
        file.Read(root.IndexOffset, index);
        return Xxh3.Hash64(index) == root.IndexHash
            ? new Artifact(root, header, manifest, index)
            : throw new ModelPackException(ErrorCodes.ArtifactIndex, "the chunk index is not the one that was written", file.Path, offsetBytes: root.IndexOffset);
    }

    public ChunkRecord Chunk(long chunk, string path) =>
        ChunkRecord.TryRead(Index.AsSpan(checked((int)(chunk * PackLayout.ChunkRecordBytes)), PackLayout.ChunkRecordBytes), out ChunkRecord record)
            ? record
            : throw new ModelPackException(ErrorCodes.ArtifactIndex, $"record {chunk} of the chunk index is not valid", path);

    private static RootRecord LoadRoot(MappedFile file)
    {
        Span<byte> bytes = stackalloc byte[PackLayout.RootBytes];
        if (file.LengthBytes < sizeof(ulong) + PackLayout.RootBytes)
        {
            throw NotAnArtifact(file);
        }

        file.Read(file.LengthBytes - PackLayout.RootBytes, bytes);
        if (!RootRecord.HasMagic(bytes))
        {
            throw NotAnArtifact(file);
        }

        if (!RootRecord.TryRead(bytes, out RootRecord root))
        {
            throw new ModelPackException(ErrorCodes.ArtifactRoot, "the root record is damaged", file.Path, offsetBytes: file.LengthBytes - PackLayout.RootBytes);
        }

        if (root.Version != PackLayout.Version)
        {
            throw new ModelPackException(ErrorCodes.ArtifactVersion, $"has format version {root.Version}; this ModelPack reads version {PackLayout.Version}", file.Path);
        }

        if (root.FileBytes != file.LengthBytes)
        {
            throw new ModelPackException(ErrorCodes.ArtifactLength, $"has {file.LengthBytes} bytes but was written with {root.FileBytes}", file.Path);
        }

        bool inside = root.HeaderBytes is >= sizeof(ulong) and <= PackLayout.MaxHeaderBytes + sizeof(ulong)
            && root.ManifestStoredBytes is >= 0 and <= PackLayout.MaxManifestBytes
            && root.ManifestRawBytes is >= 0 and <= PackLayout.MaxManifestBytes
            && root.IndexBytes is >= 0 and <= PackLayout.MaxIndexBytes
            && root.IndexBytes % PackLayout.ChunkRecordBytes == 0
            && root.HeaderBytes <= root.ManifestOffset
            && root.ManifestOffset <= root.IndexOffset - root.ManifestStoredBytes
            && root.IndexOffset <= file.LengthBytes - PackLayout.RootBytes - root.IndexBytes;
        return inside ? root : throw new ModelPackException(ErrorCodes.ArtifactRoot, "the root record names ranges outside the file", file.Path);
    }

    private static ModelPackException NotAnArtifact(MappedFile file) =>
        new(ErrorCodes.NotAnArtifact, "is not a ModelPack artifact, or its end is missing", file.Path);

    private static byte[] LoadManifest(MappedFile file, RootRecord root)
    {
        byte[] stored = new byte[root.ManifestStoredBytes];
        file.Read(root.ManifestOffset, stored);
        if (Xxh3.Hash64(stored) != root.ManifestHash)
        {
            throw new ModelPackException(ErrorCodes.ArtifactManifest, "the manifest is not the one that was written", file.Path, offsetBytes: root.ManifestOffset);
        }

        if (root.ManifestStoredBytes == root.ManifestRawBytes)
        {
            return stored;
        }

        // LZ4 cannot expand more than 255 times: a longer claim is not worth the memory.
        byte[] manifest = root.ManifestRawBytes <= 255L * root.ManifestStoredBytes ? new byte[root.ManifestRawBytes] : [];
        return manifest.Length > 0 && ModelPack.Codecs.Codecs.Get("lz4").TryDecode(stored, DType.U8, manifest)
            ? manifest
            : throw new ModelPackException(ErrorCodes.ArtifactManifest, "the manifest cannot be decoded", file.Path, offsetBytes: root.ManifestOffset);
    }
}
