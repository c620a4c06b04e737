using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>The loop that turns symbols into one bit stream; nothing here can fail.</summary>
internal static unsafe class HuffmanEncoder
{
    /// <summary>
    /// Writes the code words of all symbols, highest bit first, then a set bit that marks the end and zeros up to a whole byte. The destination must have room for that; bytes
    /// after it may be overwritten.
    /// </summary>
    /// <param name="symbols">Symbols that all have a code.</param>
    /// <param name="codes">256 entries: <c>code &lt;&lt; 8 | length</c>.</param>
    /// <param name="destination">Where to.</param>
    /// <returns>Bytes of the stream.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Encode(ReadOnlySpan<byte> symbols, ReadOnlySpan<uint> codes, Span<byte> destination)
    {
        fixed (byte* source = symbols)
        fixed (uint* table = codes)
        fixed (byte* target = destination)
        {
            byte* fastEnd = target + destination.Length - 8;
            byte* end = source + symbols.Length;
            byte* i = source;
            byte* o = target;
            ulong pending = 0;
            int bits = 0;

            // Five code words are at most 55 bits; with up to 7 pending they fit 62. They are joined on their own first, so that steps only wait for each other's bit count. Shift
            // counts are taken modulo 64, and the low 6 bits of an entry are its length: lengths are added and used without masking.
            // scalar: pending = pending << length | code; bits += length; write whole bytes
            for (; end - i >= 5 && o <= fastEnd; i += 5)
            {
                uint e0 = table[(nuint)i[0]];
                uint e1 = table[(nuint)i[1]];
                uint e2 = table[(nuint)i[2]];
                uint e3 = table[(nuint)i[3]];
                uint e4 = table[(nuint)i[4]];
                ulong v01 = ((ulong)(e0 >> 8) << (int)e1) | (e1 >> 8);
                ulong v23 = ((ulong)(e2 >> 8) << (int)e3) | (e3 >> 8);
                ulong v234 = (v23 << (int)e4) | (e4 >> 8);
                uint n234 = e2 + e3 + e4;
                uint n = (e0 + e1 + n234) & 63;
                pending = (pending << (int)n) | (v01 << (int)n234) | v234;
                bits += (int)n;
                *(ulong*)o = BinaryPrimitives.ReverseEndianness(pending << -bits);
                o += (uint)bits >> 3;
                bits &= 7;
            }

            for (; i < end; i++)
            {
                uint e = table[*i];
                pending = (pending << (int)(e & 63)) | (e >> 8);
                bits += (int)(e & 63);
                while (bits >= 8)
                {
                    bits -= 8;
                    *o++ = (byte)(pending >> bits);
                }
            }

            *o++ = (byte)(((pending << 1) | 1) << (7 - bits));
            return (int)(o - target);
        }
    }
}
