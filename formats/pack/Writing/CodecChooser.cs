using System.Buffers;
using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>Picks the codec of a stream by coding samples of it.</summary>
internal static class CodecChooser
{
    /// <summary>Bytes of one sample.</summary>
    public const int SampleBytes = 64 << 10;

    /// <summary>Samples per stream.</summary>
    public const int SampleCount = 4;

    /// <summary>The codec that makes the samples smallest; an earlier candidate when a later one gains less than 1 % more; null when no codec gains 3 %.</summary>
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
        long bestBytes = raw - (raw * 3 / 100);
        byte[] scratch = ArrayPool<byte>.Shared.Rent(longest);
        foreach (ICodec codec in ModelPack.Codecs.Codecs.Candidates(level, elementType))
        {
            long bytes = 0;
            foreach (byte[] sample in samples)
            {
                bool smaller = codec.TryEncode(sample, elementType, scratch.AsSpan(0, sample.Length), out int written);
                bytes += smaller ? written : sample.Length;
            }

            if (bytes < bestBytes - (best is null ? 0 : raw / 100))
            {
                best = codec;
                bestBytes = bytes;
            }
        }

        ArrayPool<byte>.Shared.Return(scratch);
        return best;
    }
}
