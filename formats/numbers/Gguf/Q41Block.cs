namespace ModelPack.Numbers;

/// <summary>Q4_1: 32 values, f16 scale d, f16 minimum m, 16 bytes in the order of Q4_0. Value by value on every tier: nothing multiplies with it here, it is written for other runtimes.</summary>
internal readonly struct Q41Block : IGgufBlock
{
    public static int Values => 32;

    public static int Bytes => 20;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        float least = values[0];
        float most = values[0];
        foreach (float value in values)
        {
            least = value < least ? value : least;
            most = value > most ? value : most;
        }

        float d = (most - least) / 15;
        float inverse = d != 0 ? 1f / d : 0f;
        for (int j = 0; j < 16; j++)
        {
            block[4 + j] = (byte)(Code((values[j] - least) * inverse) | (Code((values[j + 16] - least) * inverse) << 4));
        }

        return GgufHalf.TryWrite(block, d) & GgufHalf.TryWrite(block[2..], least);
    }

    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes> => EncodeReference(values, blocks);

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = GgufHalf.Read(block);
        float m = GgufHalf.Read(block[2..]);
        for (int j = 0; j < 16; j++)
        {
            values[j] = ((block[4 + j] & 15) * d) + m;
            values[j + 16] = ((block[4 + j] >> 4) * d) + m;
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes> => DecodeReference(block, values);

    /// <summary>A subnormal d has an infinite or imprecise reciprocal: codes stay within four bits.</summary>
    private static int Code(float quotient) => float.IsNaN(quotient) ? 0 : (int)Math.Min(15f, quotient + 0.5f);
}
