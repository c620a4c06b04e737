using System.Runtime.Intrinsics;
using ModelPack.Numbers;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes stored side by side, lowest bits first.</summary>
internal static unsafe class PackedBits
{
    /// <summary>One byte per code.</summary>
    /// <param name="source">ceil(count x bits / 8) bytes.</param>
    /// <param name="bits">1 to 8.</param>
    /// <param name="codes">Destination.</param>
    public static void Unpack(byte* source, int bits, Span<byte> codes)
    {
        var bytes = new ReadOnlySpan<byte>(source, (int)((((long)codes.Length * bits) + 7) / 8));
        if (bits == 8)
        {
            bytes.CopyTo(codes);
            return;
        }

        int i = 0;
        for (; i + 16 <= codes.Length; i += 16)
        {
            CodePacking.Unpack16(bytes.Slice(i / 8 * bits, 2 * bits), bits).CopyTo(codes[i..]);
        }

        for (; i < codes.Length; i++)
        {
            codes[i] = (byte)CodePacking.Get(bytes, i, bits);
        }
    }
}
