namespace ModelPack.Pack;

/// <summary>Constants of the artifact format; SPEC.md says what they mean.</summary>
internal static class PackLayout
{
    /// <summary>Version written into the root record and the header.</summary>
    public const int Version = 1;

    /// <summary>Bytes of the root record at the end of the file.</summary>
    public const int RootBytes = 128;

    /// <summary>Bytes of one chunk index record.</summary>
    public const int ChunkRecordBytes = 40;

    /// <summary>Decoded bytes of a chunk, unless rows make it differ.</summary>
    public const int ChunkBytes = 1 << 20;

    /// <summary>
    /// Decoded bytes of a chunk of text: what repeats in tokenizers and documents lies far apart. On a tokenizer of 9 MB this is 0.3 % smaller than chunks of 1 MiB, 2.5 % at the highest level; on 40 MB of documents 4.7 and
    /// 8.3 %. Longer chunks gain little more on the first, and cost memory and parallel decoding.
    /// </summary>
    public const int TextChunkBytes = 4 << 20;

    /// <summary>No chunk may be longer than this after decoding.</summary>
    public const int MaxChunkBytes = 1 << 30;

    /// <summary>
    /// No coded chunk may be longer than this after decoding: a few bytes of a file can claim any length, and decoders take a small multiple of it in buffers. Longer chunks are stored, so that a file pays for what it claims.
    /// </summary>
    public const int MaxCodedChunkBytes = 1 << 28;

    /// <summary>Every stream starts at a multiple of this.</summary>
    public const int StreamAlignment = 64;

    /// <summary>Stored streams of at least <see cref="PageAlignFromBytes"/> start at a multiple of this, so that they can be mapped alone.</summary>
    public const int PageAlignment = 4096;

    public const int PageAlignFromBytes = 256 << 10;

    /// <summary>Longest safetensors header readers accept.</summary>
    public const long MaxHeaderBytes = 100_000_000;

    /// <summary>Longest manifest (decoded) and chunk index.</summary>
    public const int MaxManifestBytes = 256 << 20;

    public const int MaxIndexBytes = 1 << 30;

    public const string ManifestName = "mpk.manifest";
    public const string IndexName = "mpk.index";
    public const string RootName = "mpk.root";
    public const string BlobPrefix = "mpk.";

    /// <summary><c>MPACKEND</c>, little-endian.</summary>
    public const ulong RootMagic = 0x444E454B4341504DUL;

    public static long AlignUp(long value, long alignment) => (value + alignment - 1) & -alignment;
}
