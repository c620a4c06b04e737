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

    public static bool Encode(ReadOnlySpan<float> values, Span<byte> block)
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
        for (int s = 0; s < 4; s++)
        {
            Vector64<byte> codes = Vector64.Create(block.Slice(4 + (8 * s), 8));
            Vector128<byte> indexes = Vector128.Create(codes & Vector64.Create((byte)15), codes >>> 4);
            TLanes.Store(TLanes.Multiply(TLanes.Lookup16(table, TLanes.FromBytes(indexes)), TLanes.Create(Scales[block[s]])), ref MemoryMarshal.GetReference(values.Slice(16 * s, 16)));
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
