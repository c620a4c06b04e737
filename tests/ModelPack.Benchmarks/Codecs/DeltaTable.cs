using System.Runtime.InteropServices;
using System.Text;
using ModelPack.Codecs;
using ModelPack.Numbers;
using ModelPack.Structures;

namespace ModelPack.Benchmarks.Codecs;

/// <summary>What differences between two versions of the sample model, and its GGUF blocks, take with the codecs made for them.</summary>
internal static class DeltaTable
{
    public static string ToMarkdown()
    {
        var text = new StringBuilder("| data | codec | ratio | encode GB/s | decode GB/s |\n|---|---|---|---|---|\n");
        (byte[] old, List<(Shape Shape, byte[] Bytes)> tensors) = CodecData.Bf16();
        foreach ((string name, byte[] now) in new[] { ("1.5 % moved by one ulp", Moved(old)), ("noise of 1e-4", Noise(old, 1e-4f)), ("noise of 1e-3", Noise(old, 1e-3f)), ("noise of 1e-2", Noise(old, 1e-2f)) })
        {
            byte[] folded = [.. now];
            DeltaKernel.Subtract(folded, old, 2);
            byte[] exclusive = [.. now.Select((b, i) => (byte)(b ^ old[i]))];
            byte[] ordered = Ordered(now);
            DeltaKernel.Subtract(ordered, Ordered(old), 2);
            foreach ((string way, byte[] data) in new[] { ("difference", folded), ("difference of ordered patterns", ordered), ("exclusive or", exclusive) })
            {
                foreach (string codec in new[] { "sparse", "planes-huffman" })
                {
                    CodecTable.Append(text, $"{name}, {way}", ModelPack.Codecs.Codecs.Get(codec), DType.U16, [.. data.Chunk(1 << 20)]);
                }
            }
        }

        foreach (string format in new[] { "gguf-q8_0", "gguf-q4_0", "gguf-q4_k", "gguf-q6_k" })
        {
            byte[] blocks = [.. tensors.Where(t => t.Shape.Rank == 2 && t.Shape.Columns % 256 == 0).SelectMany(t => Encode(format, t.Shape, t.Bytes))];
            RecordLayout layout = Containers.Gguf.GgufType.All.Single(t => t.Format == format).Records!;
            List<byte[]> chunks = [.. blocks.Chunk((1 << 20) / layout.RecordBytes * layout.RecordBytes)];
            CodecTable.Append(text, format, new RecordsCodec(layout), DType.U8, chunks);
            CodecTable.Append(text, format, ModelPack.Codecs.Codecs.Get("huffman"), DType.U8, chunks);
            CodecTable.Append(text, format, ModelPack.Codecs.Codecs.Get("zstd"), DType.U8, chunks);
        }

        return text.ToString().TrimEnd('\n');
    }

    private static byte[] Encode(string format, Shape shape, byte[] bf16)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(new UnitSpec(format), shape);
        byte[] blocks = new byte[bound.Shape.Rows * bound.Streams[0].BytesPerRow];
        bound.EncodeRows(CodecData.Decode(bf16), (int)bound.Shape.Rows, [blocks]);
        return blocks;
    }

    private static byte[] Moved(byte[] old)
    {
        byte[] now = [.. old];
        var random = new Random(1);
        foreach (ref ushort word in MemoryMarshal.Cast<byte, ushort>(now.AsSpan()))
        {
            word = random.NextDouble() < 0.015 ? (ushort)(word + (random.Next(2) == 0 ? 1 : -1)) : word;
        }

        return now;
    }

    /// <summary>A dense change: every weight plus noise of that standard deviation (about 0.05 is that of the weights).</summary>
    private static byte[] Noise(byte[] old, float scale)
    {
        float[] values = CodecData.Decode(old);
        var random = new Random(2);
        ushort[] now = new ushort[values.Length];
        for (int i = 0; i < now.Length; i++)
        {
            double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            uint bits = BitConverter.SingleToUInt32Bits((float)(values[i] + (normal * scale)));
            now[i] = (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
        }

        return MemoryMarshal.AsBytes(now.AsSpan()).ToArray();
    }

    /// <summary>Patterns in the order of the values: negative ones inverted, positive ones behind them.</summary>
    private static byte[] Ordered(byte[] bf16)
    {
        byte[] ordered = [.. bf16];
        foreach (ref ushort word in MemoryMarshal.Cast<byte, ushort>(ordered.AsSpan()))
        {
            word = (ushort)((word & 0x8000) != 0 ? ~word : word | 0x8000);
        }

        return ordered;
    }
}
