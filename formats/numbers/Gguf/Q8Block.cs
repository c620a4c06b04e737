using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Q8_0: 32 values, f16 scale d, 32 signed bytes.</summary>
internal readonly struct Q8Block : IGgufBlock
{
    public static int Values => 32;

    public static int Bytes => 34;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        float d = Math.Abs(GgufHalf.Largest(values)) / 127;
        float inverse = d != 0 ? 1f / d : 0f;
        for (int j = 0; j < 32; j++)
        {
            // A subnormal d has an infinite or imprecise reciprocal; codes stay within a byte.
            float q = MathF.Round(values[j] * inverse, MidpointRounding.AwayFromZero);
            block[2 + j] = (byte)(sbyte)Math.Clamp(float.IsNaN(q) ? 0 : q, -128, 127);
        }

        return GgufHalf.TryWrite(block, d);
    }

    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        float amax = GgufLanes<TLanes>.Largest(values);
        if (amax < GgufLanes<TLanes>.LeastNormalBlock)
        {
            return EncodeReference(values, blocks);
        }

        float d = amax / 127;
        TLanes inverse = TLanes.Create(1f / d);
        TLanes lowest = TLanes.Create(-128f);
        TLanes highest = TLanes.Create(127f);
        ref float x = ref MemoryMarshal.GetReference(values);
        ref byte to = ref MemoryMarshal.GetReference(blocks.Slice(2, 32));
        for (int i = 0; i < 32; i += 16)
        {
            TLanes quotient = TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref x, i)), inverse);
            quotient = TLanes.Min(TLanes.Max(quotient, lowest), highest);
            TLanes.LowBytes(GgufLanes<TLanes>.RoundAway(quotient)).StoreUnsafe(ref to, (nuint)i);
        }

        return GgufHalf.TryWrite(blocks, d);
    }

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = GgufHalf.Read(block);
        for (int j = 0; j < 32; j++)
        {
            values[j] = (sbyte)block[2 + j] * d;
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        TLanes d = TLanes.Create(GgufHalf.Read(block));
        TLanes offset = TLanes.CreateInt(128);
        Vector128<byte> flip = Vector128.Create((byte)128);
        ref float to = ref MemoryMarshal.GetReference(values);
        TLanes low = TLanes.FromBytes(Vector128.Create<byte>(block.Slice(2, 16)) ^ flip);
        TLanes high = TLanes.FromBytes(Vector128.Create<byte>(block.Slice(18, 16)) ^ flip);
        TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(low, offset)), d), ref to);
        TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(high, offset)), d), ref Unsafe.Add(ref to, 16));
    }
}
