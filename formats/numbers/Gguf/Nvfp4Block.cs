using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// NVFP4 as ggml stores it: 64 values in 4 sub-blocks of 16, four unsigned E4M3 scale bytes, 32 bytes of E2M1; in the 8 bytes of a sub-block byte j holds value j low and value j + 8 high. No global scale.
/// </summary>
internal readonly struct Nvfp4Block : IGgufBlock
{
    /// <summary>Scales by byte: the sign bit is ignored, 0x7F is 0 as in ggml.</summary>
    private static readonly float[] Scales = BuildScales();

    public static int Values => 64;

    public static int Bytes => 36;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        for (int s = 0; s < 4; s++)
        {
            ReadOnlySpan<float> x = values.Slice(16 * s, 16);
            int code = SmallFloatReference.Encode(Math.Abs(GgufHalf.Largest(x)) / 6, SmallFloatFormat.E4M3Fn);
            block[s] = (byte)code;
            double scale = Scales[code];
            for (int j = 0; scale > 0 && j < 8; j++)
            {
                block[4 + (8 * s) + j] = (byte)(E2M1.Encode(x[j] / scale) | (E2M1.Encode(x[j + 8] / scale) << 4));
            }
        }

        return true;
    }

    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        ref float x = ref MemoryMarshal.GetReference(values[..64]);
        ref byte to = ref MemoryMarshal.GetReference(blocks.Slice(4, 32));
        for (int s = 0; s < 4; s++)
        {
            TLanes group = TLanes.Load(in Unsafe.Add(ref x, 16 * s));
            float amax = BitConverter.Int32BitsToSingle(TLanes.MaxIntAcross(TLanes.And(group, TLanes.CreateInt(0x7FFFFFFF))));
            int code = SmallFloatReference.Encode(amax / 6, SmallFloatFormat.E4M3Fn);
            blocks[s] = (byte)code;
            float scale = Scales[code];
            if (scale > 0)
            {
                // A boundary between codes times a scale has at most 7 bits, so an f32 quotient is on the same side of it as the exact one.
                ulong codes = Halves(TLanes.LowBytes(GgufLanes<TLanes>.E2M1Codes(TLanes.Divide(group, TLanes.Create(scale)))));
                Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, 8 * s), codes);
            }
        }

        return true;
    }

    /// <summary>Byte j of the first half low, of the second high.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Halves(Vector128<byte> codes) => codes.AsUInt64()[0] | (codes.AsUInt64()[1] << 4);

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        for (int s = 0; s < 4; s++)
        {
            float scale = Scales[block[s]];
            for (int j = 0; j < 8; j++)
            {
                values[(16 * s) + j] = E2M1.Table[block[4 + (8 * s) + j] & 15] * scale;
                values[(16 * s) + 8 + j] = E2M1.Table[block[4 + (8 * s) + j] >> 4] * scale;
            }
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        TLanes table = TLanes.Load(ref MemoryMarshal.GetArrayDataReference(E2M1.Table));
        ref byte from = ref MemoryMarshal.GetReference(block.Slice(4, 32));
        ref float to = ref MemoryMarshal.GetReference(values[..64]);
        for (int s = 0; s < 4; s++)
        {
            ulong codes = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref from, 8 * s));
            Vector128<byte> indexes = Vector128.Create(codes & 0x0F0F0F0F0F0F0F0F, (codes >> 4) & 0x0F0F0F0F0F0F0F0F).AsByte();
            TLanes.Store(TLanes.Multiply(TLanes.Lookup16(table, TLanes.FromBytes(indexes)), TLanes.Create(Scales[block[s]])), ref Unsafe.Add(ref to, 16 * s));
        }
    }

    private static float[] BuildScales()
    {
        float[] table = SmallFloatReference.DecodeTable(SmallFloatFormat.E4M3Fn);
        for (int code = 0; code < 256; code++)
        {
            table[code] = (code & 0x7F) == 0x7F ? 0 : table[code & 0x7F];
        }

        return table;
    }
}
