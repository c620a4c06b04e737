using System.Buffers;
using System.Buffers.Binary;

namespace ModelPack.Codecs;

/// <summary>Wire id 13: arrays of bits few of which are set (or few of which are not), as gaps in Huffman-coded planes. See SPEC.md in this folder.</summary>
/// <remarks>
/// Codes over bytes cannot go below an eighth of a bit per bit, and know only the eight bits of a byte. Gaps come within 1 % of the entropy of bits that are set at random, from one in four down to
/// one in ten thousand.
/// </remarks>
internal sealed class BitsCodec : ICodec
{
    private const int FixedHeaderBytes = 10;

    /// <summary>Above this share of bits set, codes over bytes are as small.</summary>
    private const int DensestOf = 3;

    public string Id => "bits";

    public byte WireId => 13;

    public string Summary => "bits few of which are set (masks of sparse tensors): gaps between them, canonical Huffman";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        long bits = 8L * raw.Length;
        long set = BitsKernel.PopCount(raw);
        bool flip = set > bits / 2;
        long count = flip ? bits - set : set;
        if (count * DensestOf > bits || raw.Length > int.MaxValue / 16)
        {
            return false;
        }

        bool wide = 300 * count <= bits;
        int gapBytes = wide ? 2 : 1;
        int room = checked((int)(count + 1 + ((bits - count) / (wide ? ushort.MaxValue : byte.MaxValue))));
        int at = FixedHeaderBytes + (PlaneSection.HeaderBytes * gapBytes);
        if (destination.Length < at)
        {
            return false;
        }

        byte[] gaps = ArrayPool<byte>.Shared.Rent(gapBytes * room);
        try
        {
            int words = BitsKernel.Collect(raw, flip ? (byte)0xff : (byte)0, gaps, room, wide);
            destination[0] = flip ? (byte)1 : (byte)0;
            destination[1] = (byte)gapBytes;
            BinaryPrimitives.WriteInt32LittleEndian(destination[2..], words);
            BinaryPrimitives.WriteInt32LittleEndian(destination[6..], (int)count);
            Span<byte> headers = destination[FixedHeaderBytes..];
            for (int p = gapBytes - 1; p >= 0; p--, headers = headers[PlaneSection.HeaderBytes..])
            {
                ReadOnlySpan<byte> plane = gaps.AsSpan(p * room, words);
                if (!PlaneSection.TryWrite(plane, plane.Length - (plane.Length / 64) - 1, probe: false, headers, destination[at..], out int length))
                {
                    return false;
                }

                at += length;
            }

            written = at;
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(gaps);
        }
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        if (encoded.Length < FixedHeaderBytes || encoded[0] > 1 || encoded[1] is not (1 or 2))
        {
            return false;
        }

        int gapBytes = encoded[1];
        long bits = 8L * raw.Length;
        uint words = BinaryPrimitives.ReadUInt32LittleEndian(encoded[2..]);
        uint count = BinaryPrimitives.ReadUInt32LittleEndian(encoded[6..]);
        int at = FixedHeaderBytes + (PlaneSection.HeaderBytes * gapBytes);
        int most = gapBytes == 1 ? byte.MaxValue : ushort.MaxValue;
        if (raw.IsEmpty || encoded.Length < at || count > bits || words <= count || words - count - 1 > (bits - count) / most || words > int.MaxValue / 2)
        {
            return false;
        }

        // Everything is bounded by the decoded length from here on.
        int e = (int)words;
        byte[] scratch = ArrayPool<byte>.Shared.Rent(gapBytes * e);
        try
        {
            Span<byte> gaps = scratch.AsSpan(0, gapBytes * e);
            ReadOnlySpan<byte> headers = encoded[FixedHeaderBytes..at];
            ReadOnlySpan<byte> body = encoded[at..];
            for (int p = gapBytes - 1; p >= 0; p--, headers = headers[PlaneSection.HeaderBytes..])
            {
                if (!PlaneSection.TryRead(headers, ref body, gaps.Slice(p * e, e)))
                {
                    return false;
                }
            }

            ReadOnlySpan<byte> low = gaps[..e];
            ReadOnlySpan<byte> high = gaps[e..];
            bool goesOn = low[^1] == byte.MaxValue && (high.IsEmpty || high[^1] == byte.MaxValue);
            if (!body.IsEmpty || goesOn || SparseKernel.Sum(low, high, out int ends) != bits - count || ends != count + 1)
            {
                return false;
            }

            raw.Clear();
            BitsKernel.Scatter(low, high, raw);
            if (encoded[0] == 1)
            {
                BitsKernel.Flip(raw);
            }

            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }
}
