using System.Buffers;
using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>Picks the codec of a stream by coding samples of it.</summary>
/// <remarks>
/// Entropy coding alone decodes several times faster than Zstandard and never does much worse unless bytes repeat. So match searches are tried only on samples in which LZ4, which is quick at giving
/// up, finds repetition, and must then gain 5 %; the highest level tries everything.
/// </remarks>
internal static class CodecChooser
{
    private const byte PlanesZstd = 2;
    private const byte Zstd = 3;
    private const byte Lz4 = 4;
    private const byte PlanesRans = 5;
    private const byte CodesRans = 7;

    /// <summary>Decodes so fast, and makes so little of what it suits, that a tenth of the best result is worth it.</summary>
    private const byte Sparse = 10;

    /// <summary>A frame of Zstandard takes 50 microseconds to begin, the time in which others decode 200 KB: short streams are not worth it.</summary>
    private const int SearchFromBytes = 4096;

    /// <summary>Bytes of one sample.</summary>
    public const int SampleBytes = 64 << 10;

    /// <summary>Samples per stream.</summary>
    public const int SampleCount = 4;

    /// <summary>
    /// Codes of shorter streams are not coded with rANS below the highest level: its tables cost as much time as such a stream takes to decode, and what they gain does not show in the size of a model.
    /// </summary>
    private const int CodesRansFromBytes = 64 << 10;

    /// <summary>The codec that makes the samples smallest; an earlier candidate when a later one gains hardly more; null when no codec gains 3 %.</summary>
    /// <param name="policy">Which codecs there are to choose from.</param>
    /// <param name="elementType">What the stream's bytes are.</param>
    /// <param name="streamBytes">Raw length of the stream.</param>
    /// <param name="samples">Pieces of it.</param>
    /// <param name="special">A codec to try besides; null for none.</param>
    public static ICodec? Choose(CodecPolicy policy, DType elementType, long streamBytes, List<byte[]> samples, ICodec? special = null)
    {
        // In one piece, as a chunk would be: tables that every short sample would pay for weigh little on a chunk.
        int raw = samples.Sum(s => s.Length);
        if (raw == 0)
        {
            return null;
        }

        byte[] sample = ArrayPool<byte>.Shared.Rent(raw);
        byte[] scratch = ArrayPool<byte>.Shared.Rent(raw);
        int at = 0;
        foreach (byte[] piece in samples)
        {
            piece.CopyTo(sample, at);
            at += piece.Length;
        }

        ICodec? best = null;
        bool repeats = policy.Level == CodecLevel.Max;
        int bestBytes = raw - (int)(raw * 3L / 100);
        IEnumerable<ICodec> candidates = ModelPack.Codecs.Codecs.Candidates(policy.Level, elementType, policy.Portable);
        foreach (ICodec codec in special is null ? candidates : candidates.Append(special))
        {
            bool tooShort = policy.Level != CodecLevel.Max && ((codec.WireId == CodesRans && streamBytes < CodesRansFromBytes) || (codec.WireId is PlanesZstd or Zstd && streamBytes < SearchFromBytes));
            if (tooShort || (!repeats && (codec.WireId is PlanesZstd or Zstd)))
            {
                continue;
            }

            int bytes = codec.TryEncode(sample.AsSpan(0, raw), elementType, scratch.AsSpan(0, raw), out int written) ? written : raw;
            repeats |= codec.WireId == Lz4 && bytes < raw - (raw / 64);
            if (bytes < bestBytes - Margin(policy.Level, best, codec, bestBytes, raw))
            {
                best = codec;
                bestBytes = bytes;
            }
        }

        ArrayPool<byte>.Shared.Return(scratch);
        ArrayPool<byte>.Shared.Return(sample);
        return best;
    }

    /// <summary>
    /// What a slower decoder must gain: hardly anything at the highest level; else more where Zstandard, whose decoder is a megabyte of code to be compiled and then three times slower, would replace plain
    /// entropy coding (a recognition net: 2 % smaller, and a tenth longer to load). On planes rANS is the faster one with AVX-512 and the slower one without: any gain, which is
    /// always small where mantissas are long. On codes of one byte it is
    /// slower than Huffman everywhere, and the many small streams of an int8 model loaded 20 to 40 % slower for a tenth of a percent.
    /// </summary>
    private static int Margin(CodecLevel level, ICodec? best, ICodec codec, int bestBytes, int raw)
    {
        int margin = best is null ? 0
            : best.WireId == Lz4 ? raw / 100
            : level != CodecLevel.Max && codec.WireId is PlanesZstd or Zstd ? raw / 20
            : codec.WireId == PlanesRans ? 0
            : codec.WireId == CodesRans && level == CodecLevel.Max ? bestBytes / 1000
            : codec.WireId == CodesRans ? bestBytes / 200
            : (int)(raw * 3L / 1000);
        return codec.WireId == Sparse ? Math.Min(margin, bestBytes / 10) : margin;
    }
}
