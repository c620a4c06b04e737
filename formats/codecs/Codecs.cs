using System.Diagnostics.CodeAnalysis;

namespace ModelPack.Codecs;

/// <summary>
/// All lossless codecs by wire id. A wire id names one byte format forever; a changed format takes a new id.
/// </summary>
/// <remarks>
/// Ids taken: 0 stored, 1 constant, 2 planes-zstd, 3 zstd, 4 lz4, 5 planes-rans, 6 planes-huffman, 7 codes-rans, 8 palette, 10 sparse, 11 huffman, 12 records, 13 bits, 14 ranks. Reserved: 9
/// clean-floats. 255 is never used.
/// </remarks>
public static class Codecs
{
    private static readonly PlanesHuffmanCodec PlanesHuffman = new();
    private static readonly HuffmanCodec Huffman = new();
    private static readonly PaletteCodec Palette = new();
    private static readonly PlanesRansCodec[] PlanesRans = [new(CodecLevel.Fast), new(CodecLevel.Default), new(CodecLevel.Max)];
    private static readonly CodesRansCodec[] CodesRans = [new(CodecLevel.Fast), new(CodecLevel.Default), new(CodecLevel.Max)];
    private static readonly SparseCodec Sparse = new();
    private static readonly BitsCodec Bits = new();
    private static readonly RanksCodec Ranks = new();

    /// <summary>Every codec, by ascending wire id.</summary>
    public static IReadOnlyList<ICodec> All { get; } =
    [
        new StoredCodec(),
        new ConstantCodec(),
        new PlanesZstdCodec(ZstdContext.EntropyOnly),
        new ZstdCodec(3),
        new Lz4Codec(highCompression: false),
        PlanesRans[(int)CodecLevel.Default],
        PlanesHuffman,
        CodesRans[(int)CodecLevel.Default],
        Palette,
        Sparse,
        Huffman,
        new RecordsCodec(RecordsCodec.ScaleAnd32Codes),
        Bits,
        Ranks,
    ];

    private static readonly ICodec?[] ByWireId = Index(All);

    private static readonly PlanesZstdCodec MatchPlanes = new(3);
    private static readonly ZstdCodec FastZstd = new(1);
    private static readonly PlanesZstdCodec MaxPlanes = new(12);
    private static readonly ZstdCodec MaxZstd = new(17);
    private static readonly Lz4Codec MaxLz4 = new(highCompression: true);

    /// <exception cref="ModelPackException">MP1021: no such codec.</exception>
    public static ICodec Get(string id) =>
        All.FirstOrDefault(c => c.Id == id) ?? throw new ModelPackException(ErrorCodes.UnknownUnit, $"unknown codec '{id}'");

    /// <summary>Finds a codec by the byte found in a chunk index.</summary>
    public static bool TryGet(byte wireId, [NotNullWhen(true)] out ICodec? codec)
    {
        codec = ByWireId[wireId];
        return codec is not null;
    }

    /// <summary>
    /// The encoders worth trying on a stream, cheapest decoder first. The packer measures them on samples and takes the smallest, an
    /// earlier one when the difference is not worth the decoding time.
    /// </summary>
    /// <param name="level">How much time may be spent.</param>
    /// <param name="elementType">What the stream's bytes are.</param>
    /// <param name="portable">Without the codecs that are fast with AVX-512 alone.</param>
    public static IReadOnlyList<ICodec> Candidates(CodecLevel level, DType elementType, bool portable = false)
    {
        // Entropy coding alone is the best there is for exponents and for codes: matches are accidents there that cost more than they save. Planes, codes and text with real repetition
        // find their match search further on in the list.
        bool planes = elementType.BitsPerElement() >= 16;
        // Huffman before rANS: where both are as small, the one that every machine decodes.
        ICodec[] entropy = (planes, portable) switch
        {
            (true, true) => [PlanesHuffman],
            (true, false) => [PlanesHuffman, PlanesRans[(int)level]],
            (false, true) => [Huffman],
            _ => [Huffman, CodesRans[(int)level]],
        };
        ICodec[] list = (level, planes) switch
        {
            (CodecLevel.Fast, true) => [All[1], All[4], Palette, .. entropy],
            (CodecLevel.Fast, false) => [All[1], All[4], .. entropy, FastZstd],
            (CodecLevel.Max, true) => [All[1], MaxLz4, Palette, .. entropy, MaxPlanes, MaxZstd],
            (CodecLevel.Max, false) => [All[1], MaxLz4, .. entropy, MaxZstd],
            (_, true) => [All[1], All[4], Palette, .. entropy, MatchPlanes, All[3]],
            _ => [All[1], All[4], .. entropy, All[3]],
        };

        // These give up at once where there are few zeros, of elements or of bits, or a group has another number of bits set than the first.
        return elementType == DType.U8 ? [.. list, Sparse, Bits, Ranks] : [.. list, Sparse];
    }

    /// <summary>
    /// What to try on a chunk that the codec of its stream does not fit, which samples did not show: samples of differences may all be zero and the tensor still have changes elsewhere. Null for storing it.
    /// </summary>
    public static ICodec? Fallback(ICodec codec, DType elementType) => codec switch
    {
        ConstantCodec => Sparse,
        PaletteCodec or PlanesRansCodec or CodesRansCodec or SparseCodec or BitsCodec or RanksCodec or RecordsCodec => elementType.BitsPerElement() >= 16 ? PlanesHuffman : Huffman,
        _ => null,
    };

    private static ICodec?[] Index(IReadOnlyList<ICodec> codecs)
    {
        var table = new ICodec?[256];
        foreach (ICodec codec in codecs)
        {
            table[codec.WireId] = table[codec.WireId] is null
                ? codec
                : throw new InvalidOperationException($"wire id {codec.WireId} is used twice");
        }

        return table;
    }
}
