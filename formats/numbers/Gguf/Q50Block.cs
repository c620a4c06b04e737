using System.Buffers.Binary;

namespace ModelPack.Numbers;

/// <summary>Q5_0: 32 values, f16 scale d, the fifth bits of all codes as a u32, 16 bytes with the others in the order of Q4_0; offset 16. Value by value on every tier, as Q4_1.</summary>
internal readonly struct Q50Block : IGgufBlock
{
    public static int Values => 32;

    public static int Bytes => 22;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        float d = GgufHalf.Largest(values) / -16;
        float inverse = d != 0 ? 1f / d : 0f;
        uint fifth = 0;
        for (int j = 0; j < 16; j++)
        {
            int low = Code(values[j] * inverse);
            int high = Code(values[j + 16] * inverse);
            block[6 + j] = (byte)((low & 15) | ((high & 15) << 4));
            fifth |= ((uint)low >> 4 << j) | ((uint)high >> 4 << (j + 16));
        }

        BinaryPrimitives.WriteUInt32LittleEndian(block[2..], fifth);
        return GgufHalf.TryWrite(block, d);
    }

    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes> => EncodeReference(values, blocks);

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = GgufHalf.Read(block);
        uint fifth = BinaryPrimitives.ReadUInt32LittleEndian(block[2..]);
        for (int j = 0; j < 16; j++)
        {
            values[j] = (((block[6 + j] & 15) | (int)((fifth >> j) & 1) << 4) - 16) * d;
            values[j + 16] = (((block[6 + j] >> 4) | (int)((fifth >> (j + 16)) & 1) << 4) - 16) * d;
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes> => DecodeReference(block, values);

    /// <summary>A subnormal d has an infinite or imprecise reciprocal: codes stay within five bits.</summary>
    private static int Code(float quotient) => float.IsNaN(quotient) ? 0 : (int)Math.Clamp(quotient + 16.5f, 0f, 31f);
}
