using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Q4_0: 32 values, f16 scale d, 16 bytes; byte j holds value j low and value j + 16 high, offset 8.</summary>
internal readonly struct Q4Block : IGgufBlock
{
    public static int Values => 32;

    public static int Bytes => 18;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        float d = GgufHalf.Largest(values) / -8;
        float inverse = d != 0 ? 1f / d : 0f;
        for (int j = 0; j < 16; j++)
        {
            int low = Math.Min(15, (int)((values[j] * inverse) + 8.5f));
            int high = Math.Min(15, (int)((values[j + 16] * inverse) + 8.5f));
            block[2 + j] = (byte)(low | (high << 4));
        }

        return GgufHalf.TryWrite(block, d);
    }

    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        ref float x = ref MemoryMarshal.GetReference(values[..32]);
        TLanes first = TLanes.Load(in x);
        TLanes second = TLanes.Load(in Unsafe.Add(ref x, 16));
        TLanes mask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes firstMagnitude = TLanes.And(first, mask);
        TLanes secondMagnitude = TLanes.And(second, mask);
        int largest = TLanes.MaxIntAcross(TLanes.MaxInt(firstMagnitude, secondMagnitude));
        float amax = BitConverter.Int32BitsToSingle(largest);
        if (amax < GgufLanes<TLanes>.LeastNormalBlock)
        {
            return EncodeReference(values, blocks);
        }

        // The sign of the first value of the largest magnitude.
        TLanes below = TLanes.CreateInt(largest - 1);
        uint largestAt = TLanes.SignBits(TLanes.GreaterInt(firstMagnitude, below)) | (TLanes.SignBits(TLanes.GreaterInt(secondMagnitude, below)) << 16);
        uint signs = TLanes.SignBits(first) | (TLanes.SignBits(second) << 16);
        bool negative = ((signs >> BitOperations.TrailingZeroCount(largestAt)) & 1) != 0;
        float d = (negative ? -amax : amax) / -8;
        TLanes inverse = TLanes.Create(1f / d);
        TLanes low = Codes(first, inverse);
        TLanes high = Codes(second, inverse);
        TLanes.LowBytes(TLanes.Or(low, TLanes.ShiftLeft(high, 4))).CopyTo(blocks[2..]);
        return GgufHalf.TryWrite(blocks, d);
    }

    /// <summary>Quotients are within 8 and a rounding error, so that what is truncated is positive.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Codes<TLanes>(TLanes values, TLanes inverse)
        where TLanes : struct, ILanes16<TLanes>
    {
        TLanes shifted = TLanes.Add(TLanes.Multiply(values, inverse), TLanes.Create(8.5f));
        return TLanes.TruncateToInt(TLanes.Min(shifted, TLanes.Create(15f)));
    }

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = GgufHalf.Read(block);
        for (int j = 0; j < 16; j++)
        {
            values[j] = ((block[2 + j] & 15) - 8) * d;
            values[j + 16] = ((block[2 + j] >> 4) - 8) * d;
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        TLanes d = TLanes.Create(GgufHalf.Read(block));
        TLanes eight = TLanes.CreateInt(8);
        Vector128<byte> codes = Vector128.Create<byte>(block[2..]);
        ref float to = ref MemoryMarshal.GetReference(values);
        TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(TLanes.FromBytes(codes & Vector128.Create((byte)15)), eight)), d), ref to);
        TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(TLanes.FromBytes(codes >>> 4), eight)), d), ref Unsafe.Add(ref to, 16));
    }
}
