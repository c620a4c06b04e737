using System.Buffers;
using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>Picks the codec of a stream by coding samples of it.</summary>
/// <remarks>
/// Entropy coding alone decodes several times faster than Zstandard and never does much worse unless bytes repeat. So match searches are tried only on samples in which LZ4, which is quick at giving
/// up, finds repetition, and must then gain 0.3 %; the highest level tries everything.
/// </remarks>
internal static class CodecChooser
{
    /// <summary>Bytes of one sample.</summary>
    public const int SampleBytes = 64 << 10;

    /// <summary>Samples per stream.</summary>
    public const int SampleCount = 4;

    /// <summary>The codec that makes the samples smallest; an earlier candidate when a later one gains hardly more; null when no codec gains 3 %.</summary>
    public static ICodec? Choose(CodecLevel level, DType elementType, List<byte[]> samples)
    {
        long raw = 0;
        int longest = 0;
        foreach (byte[] sample in samples)
        {
            raw += sample.Length;
            longest = Math.Max(longest, sample.Length);
        }

        if (raw == 0)
        {
            return null;
        }

        ICodec? best = null;
        bool repeats = level == CodecLevel.Max;
        long bestBytes = raw - (raw * 3 / 100);
        byte[] scratch = ArrayPool<byte>.Shared.Rent(longest);
        foreach (ICodec codec in ModelPack.Codecs.Codecs.Candidates(level, elementType))
        {
            if (!repeats && codec.Id.Contains("zstd", StringComparison.Ordinal))
            {
                continue;
            }

            long bytes = 0;
            foreach (byte[] sample in samples)
            {
                bool smaller = codec.TryEncode(sample, elementType, scratch.AsSpan(0, sample.Length), out int written);
                bytes += smaller ? written : sample.Length;
            }

            repeats |= codec.Id == "lz4" && bytes < raw - (raw / 64);
            if (bytes < bestBytes - (best is null ? 0 : best.Id == "lz4" ? raw / 100 : raw * 3 / 1000))
            {
                best = codec;
                bestBytes = bytes;
            }
        }

        ArrayPool<byte>.Shared.Return(scratch);
        return best;
    }
}
