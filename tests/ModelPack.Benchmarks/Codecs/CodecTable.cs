using System.Diagnostics;
using System.Globalization;
using System.Text;
using ModelPack.Codecs;

namespace ModelPack.Benchmarks.Codecs;

/// <summary>Ratio and speed of the codecs on one thread, beside memcpy in the same run, as a Markdown table. Decoding includes the checksum, as readers do it.</summary>
internal static class CodecTable
{
    private const double Milliseconds = 300;

    private static readonly (string Name, ICodec Codec)[] Encoders =
    [
        ("planes-rans fast", new PlanesRansCodec(CodecLevel.Fast)),
        ("planes-rans", new PlanesRansCodec(CodecLevel.Default)),
        ("planes-rans max", new PlanesRansCodec(CodecLevel.Max)),
        ("codes-rans fast", new CodesRansCodec(CodecLevel.Fast)),
        ("codes-rans", new CodesRansCodec(CodecLevel.Default)),
        ("codes-rans max", new CodesRansCodec(CodecLevel.Max)),
        .. new[] { "planes-huffman", "huffman", "planes-zstd", "zstd", "lz4" }.Select(n => (n, ModelPack.Codecs.Codecs.Get(n))),
    ];

    public static string ToMarkdown()
    {
        var text = new StringBuilder("| data | codec | ratio | encode GB/s | decode GB/s |\n|---|---|---|---|---|\n");
        foreach ((string name, DType type, List<byte[]> chunks) in CodecData.All())
        {
            long bytes = chunks.Sum(c => (long)c.Length);
            byte[] target = new byte[chunks.Max(c => c.Length)];
            double copy = Seconds(() => chunks.ForEach(c => c.CopyTo(target, 0)));
            text.Append(CultureInfo.InvariantCulture, $"| {name}, {bytes / 1e6:F1} MB | memcpy | 1 | {bytes / copy / 1e9:F2} | |\n");
            foreach ((string id, ICodec codec) in Encoders)
            {
                if (type == DType.U8 ? codec.Id.StartsWith("planes", StringComparison.Ordinal) : codec.Id is "huffman" or "codes-rans")
                {
                    continue;
                }

                var stored = new List<(ICodec? Codec, byte[] Bytes)>();
                byte[] room = new byte[target.Length];
                foreach (byte[] chunk in chunks)
                {
                    stored.Add(codec.TryEncode(chunk, type, room.AsSpan(0, chunk.Length), out int written) ? (codec, room[..written]) : (null, chunk));
                }

                double encode = Seconds(() => chunks.ForEach(c => codec.TryEncode(c, type, room.AsSpan(0, c.Length), out _)));
                double decode = Seconds(() => Decode(stored, chunks, type, target));
                text.Append(CultureInfo.InvariantCulture, $"| | {id} | {bytes / (double)stored.Sum(s => s.Bytes.Length):F4} | {bytes / encode / 1e9:F2} | {bytes / decode / 1e9:F2} |\n");
            }
        }

        return text.ToString().TrimEnd('\n');
    }

    /// <summary>One line for one codec on one kind of data.</summary>
    internal static void Append(StringBuilder text, string name, ICodec codec, DType type, List<byte[]> chunks)
    {
        long bytes = chunks.Sum(c => (long)c.Length);
        byte[] target = new byte[chunks.Max(c => c.Length)];
        byte[] room = new byte[target.Length];
        var stored = new List<(ICodec? Codec, byte[] Bytes)>();
        foreach (byte[] chunk in chunks)
        {
            stored.Add(codec.TryEncode(chunk, type, room.AsSpan(0, chunk.Length), out int written) ? (codec, room[..written]) : (null, chunk));
        }

        double encode = Seconds(() => chunks.ForEach(c => codec.TryEncode(c, type, room.AsSpan(0, c.Length), out _)));
        double decode = Seconds(() => Decode(stored, chunks, type, target));
        text.Append(CultureInfo.InvariantCulture, $"| {name} | {codec.Id} | {bytes / (double)stored.Sum(s => (long)s.Bytes.Length):F4} | {bytes / encode / 1e9:F2} | {bytes / decode / 1e9:F2} |\n");
    }

    private static void Decode(List<(ICodec? Codec, byte[] Bytes)> stored, List<byte[]> chunks, DType type, byte[] target)
    {
        for (int i = 0; i < stored.Count; i++)
        {
            Span<byte> raw = target.AsSpan(0, chunks[i].Length);
            if (stored[i].Codec is null)
            {
                stored[i].Bytes.CopyTo(raw);
            }
            else if (!stored[i].Codec!.TryDecode(stored[i].Bytes, type, raw, out _))
            {
                throw new InvalidOperationException($"{stored[i].Codec!.Id} cannot decode what it wrote");
            }
        }
    }

    /// <summary>The shortest of all runs in the time.</summary>
    private static double Seconds(Action run)
    {
        run();
        double best = double.MaxValue;
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < 2 || Stopwatch.GetElapsedTime(start).TotalMilliseconds < Milliseconds; i++)
        {
            long begin = Stopwatch.GetTimestamp();
            run();
            best = Math.Min(best, Stopwatch.GetElapsedTime(begin).TotalSeconds);
        }

        return best;
    }
}
