using System.Buffers.Binary;

namespace ModelPack.Containers.Gguf;

/// <summary>The f32 values of blocks that no format of ours holds, computed as they are read: Q5_1, and the k-quants with 2, 3 and 5 bits.</summary>
/// <param name="type">One that <see cref="Reads"/> knows.</param>
/// <param name="blocks">Whole blocks.</param>
/// <param name="count">Number of values.</param>
/// <remarks>Source: ggml, <c>src/ggml-quants.c</c>, <c>dequantize_row_*</c>.</remarks>
public sealed class GgufBlockData(string type, TensorData blocks, long count) : ComputedFloats(count)
{
    private readonly (int Values, int Bytes, Decoder Decode) _layout = Layout(type) ?? throw new ArgumentException($"no decoder for {type}", nameof(type));

    private delegate void Decoder(ReadOnlySpan<byte> block, Span<float> values);

    /// <summary>The name of the type in the file.</summary>
    public string Type => type;

    /// <summary>Whether values of a type can be computed.</summary>
    public static bool Reads(string type) => Layout(type) is not null;

    protected override void Compute(long from, Span<float> values)
    {
        (int each, int bytes, Decoder decode) = _layout;
        byte[] block = new byte[bytes];
        float[] decoded = new float[each];
        for (int done = 0; done < values.Length;)
        {
            (long b, long skip) = Math.DivRem(from + done, each);
            int n = (int)Math.Min(each - skip, values.Length - done);
            blocks.Read(b * bytes, block);
            decode(block, decoded);
            decoded.AsSpan((int)skip, n).CopyTo(values[done..]);
            done += n;
        }
    }

    private static (int Values, int Bytes, Decoder Decode)? Layout(string type) => type switch
    {
        "q5_1" => (32, 24, Q5_1),
        "q2_k" => (256, 84, Q2K),
        "q3_k" => (256, 110, Q3K),
        "q5_k" => (256, 176, Q5K),
        _ => null,
    };

    private static float Half(ReadOnlySpan<byte> block, int at) => (float)BinaryPrimitives.ReadHalfLittleEndian(block[at..]);

    /// <summary>f16 d, f16 m, 32 fifth bits, nibbles of elements j and j + 16.</summary>
    private static void Q5_1(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        float m = Half(block, 2);
        uint fifth = BinaryPrimitives.ReadUInt32LittleEndian(block[4..]);
        for (int j = 0; j < 32; j++)
        {
            int nibble = (block[8 + (j & 15)] >> (j < 16 ? 0 : 4)) & 15;
            values[j] = ((nibble | (int)((fifth >> j & 1) << 4)) * d) + m;
        }
    }

    /// <summary>16 sub-blocks of 16: a byte with scale and minimum each, then codes of 2 bits, then f16 d and dmin.</summary>
    private static void Q2K(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 80);
        float dmin = Half(block, 82);
        for (int i = 0; i < 256; i++)
        {
            byte scale = block[i / 16];
            values[i] = (d * (scale & 15) * TwoBits(block[16..], i)) - (dmin * (scale >> 4));
        }
    }

    /// <summary>A third bit each (clear means 4 less), codes of 2 bits, 16 scales of 6 bits around 32, f16 d.</summary>
    private static void Q3K(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 108);
        ReadOnlySpan<byte> scales = block.Slice(96, 12);
        for (int i = 0; i < 256; i++)
        {
            int s = i / 16;
            int scale = ((scales[s & 7] >> (s < 8 ? 0 : 4)) & 15) | (((scales[8 + (s & 3)] >> (2 * (s / 4))) & 3) << 4);
            int third = block[i % 32] >> (i / 32) & 1;
            values[i] = d * (scale - 32) * (TwoBits(block[32..], i) - (third == 0 ? 4 : 0));
        }
    }

    /// <summary>Code i: two bits of byte i mod 32 of its half of 128.</summary>
    private static int TwoBits(ReadOnlySpan<byte> codes, int i) => codes[(i / 128 * 32) + (i % 32)] >> (i % 128 / 32 * 2) & 3;

    /// <summary>f16 d and dmin, 8 scales and minima of 6 bits, a fifth bit each, nibbles of 32 and the next 32 elements.</summary>
    private static void Q5K(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        float dmin = Half(block, 2);
        ReadOnlySpan<byte> packed = block.Slice(4, 12);
        for (int j = 0; j < 8; j++)
        {
            int scale = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | (packed[j - 4] >> 6 << 4);
            int minimum = j < 4 ? packed[j + 4] & 63 : (packed[j + 4] >> 4) | (packed[j] >> 6 << 4);
            float step = d * scale;
            float offset = dmin * minimum;
            for (int l = 0; l < 32; l++)
            {
                int nibble = (block[48 + (j / 2 * 32) + l] >> (j % 2 * 4)) & 15;
                values[(32 * j) + l] = (step * (nibble | ((block[16 + l] >> j & 1) << 4))) - offset;
            }
        }
    }
}
