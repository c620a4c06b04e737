using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>MXFP4 as ggml stores it: 32 values, an E8M0 scale byte, 16 bytes of E2M1; byte j holds value j low and value j + 16 high.</summary>
internal readonly struct Mxfp4Block : IGgufBlock
{
    public static int Values => 32;

    public static int Bytes => 17;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        // floor(log2 amax) - 2, by the exponent bits; the OCP rule.
        float amax = Math.Abs(GgufHalf.Largest(values));
        int exponent = amax == 0 ? -127 : Math.Clamp(Math.ILogB(amax) - 2, -127, 127);
        block[0] = (byte)(exponent + 127);
        double scale = Math.ScaleB(1, -exponent);
        for (int j = 0; j < 16; j++)
        {
            block[1 + j] = (byte)(E2M1.Encode(values[j] * scale) | (E2M1.Encode(values[j + 16] * scale) << 4));
        }

        return true;
    }

    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        float amax = GgufLanes<TLanes>.Largest(values);
        if (amax < GgufLanes<TLanes>.LeastNormalBlock)
        {
            return EncodeReference(values, blocks);
        }

        // Multiplying by a power of two is exact, or rounds far below half the least magnitude.
        int exponent = (BitConverter.SingleToInt32Bits(amax) >> 23) - 127 - 2;
        blocks[0] = (byte)(exponent + 127);
        TLanes factor = TLanes.CreateInt((127 - exponent) << 23);
        ref float x = ref MemoryMarshal.GetReference(values[..32]);
        TLanes low = GgufLanes<TLanes>.E2M1Codes(TLanes.Multiply(TLanes.Load(in x), factor));
        TLanes high = GgufLanes<TLanes>.E2M1Codes(TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref x, 16)), factor));
        TLanes.LowBytes(TLanes.Or(low, TLanes.ShiftLeft(high, 4))).CopyTo(blocks[1..]);
        return true;
    }

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float scale = E8M0.Decode(block[0]);
        for (int j = 0; j < 16; j++)
        {
            values[j] = E2M1.Table[block[1 + j] & 15] * scale;
            values[j + 16] = E2M1.Table[block[1 + j] >> 4] * scale;
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        TLanes scale = TLanes.Create(E8M0.Decode(block[0]));
        TLanes table = TLanes.Load(ref MemoryMarshal.GetArrayDataReference(E2M1.Table));
        Vector128<byte> codes = Vector128.Create<byte>(block.Slice(1, 16));
        ref float to = ref MemoryMarshal.GetReference(values);
        TLanes.Store(TLanes.Multiply(TLanes.Lookup16(table, TLanes.FromBytes(codes & Vector128.Create((byte)15))), scale), ref to);
        TLanes.Store(TLanes.Multiply(TLanes.Lookup16(table, TLanes.FromBytes(codes >>> 4)), scale), ref Unsafe.Add(ref to, 16));
    }
}
