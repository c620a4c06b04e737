using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Q4_0: 32 values, f16 scale d, 16 bytes; byte j holds value j low and value j + 16 high, offset 8.</summary>
internal readonly struct Q4Block : IGgufBlock
{
    public static int Values => 32;

    public static int Bytes => 18;

    public static bool Encode(ReadOnlySpan<float> values, Span<byte> block)
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
        TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(TLanes.FromBytes(codes >>> 4), eight)), d), ref System.Runtime.CompilerServices.Unsafe.Add(ref to, 16));
    }
}
