using System.Buffers.Binary;
using System.Numerics;

namespace ModelPack.Codecs;

/// <summary>Wire id 14: masks whose groups of 16, 32 or 64 bits all have the same number of bits set, as the numbers of the groups. See SPEC.md in this folder.</summary>
/// <remarks>
/// With 8 of every 64 bits set a group costs 32.3 bits where there are 2^32.04 of them; gaps between bits, which do not know that the number is fixed, take 34.9. Shorter groups are left to codes over bytes, which are within 1 %.
/// </remarks>
internal sealed class RanksCodec : ICodec
{
    private const int HeaderBytes = 2;

    private static readonly int[] Groups = [16, 32, 64];

    public string Id => "ranks";

    public byte WireId => 14;

    public string Summary => "masks with the same number of bits set in every group of 16, 32 or 64 (banks of sparse tensors): the numbers of the groups";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        foreach (int group in Groups)
        {
            int kept = raw.Length < group / 8 ? 0 : BitOperations.PopCount(Bits(raw, 0, group));
            if (kept > 0 && kept < group && IsBalanced(raw, group, kept))
            {
                return TryEncode(raw, new RanksKernel(group, kept), group, kept, destination, out written);
            }
        }

        return false;
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        if (encoded.Length < HeaderBytes || encoded[0] is not (16 or 32 or 64) || encoded[1] == 0 || encoded[1] >= encoded[0])
        {
            return false;
        }

        int group = encoded[0];
        var kernel = new RanksKernel(group, encoded[1]);
        int count = raw.Length / (group / 8);
        long words = ((long)count + kernel.GroupsPerWord - 1) / kernel.GroupsPerWord;
        int tail = raw.Length % (group / 8);
        long length = ((words * kernel.WordBits) + 7) / 8;
        if (count == 0 || encoded.Length != HeaderBytes + length + tail)
        {
            return false;
        }

        ReadOnlySpan<byte> body = encoded.Slice(HeaderBytes, (int)length);
        int used = (int)(words * kernel.WordBits % 8);
        if (used != 0 && body[^1] >> used != 0)
        {
            return false;
        }

        int at = 0;
        for (long w = 0; w < words; w++)
        {
            UInt128 word = RanksKernel.ReadBits(body, w * kernel.WordBits, kernel.WordBits);
            int groups = Math.Min(kernel.GroupsPerWord, count - at);
            for (int g = 0; g < groups; g++, at++)
            {
                UInt128 rest = word / kernel.Ways;
                Put(raw, at, group, kernel.Group((ulong)(word - (rest * kernel.Ways))));
                word = rest;
            }

            if (word != 0)
            {
                return false;
            }
        }

        encoded[^tail..].CopyTo(raw[^tail..]);
        return true;
    }

    private static bool TryEncode(ReadOnlySpan<byte> raw, RanksKernel kernel, int group, int kept, Span<byte> destination, out int written)
    {
        written = 0;
        int count = raw.Length / (group / 8);
        int tail = raw.Length % (group / 8);
        long words = ((long)count + kernel.GroupsPerWord - 1) / kernel.GroupsPerWord;
        long length = HeaderBytes + (((words * kernel.WordBits) + 7) / 8) + tail;
        if (length > destination.Length)
        {
            return false;
        }

        Span<byte> body = destination[HeaderBytes..(int)(length - tail)];
        body.Clear();
        destination[0] = (byte)group;
        destination[1] = (byte)kept;
        for (long w = 0; w < words; w++)
        {
            UInt128 word = 0;
            int first = (int)(w * kernel.GroupsPerWord);
            for (int g = Math.Min(kernel.GroupsPerWord, count - first) - 1; g >= 0; g--)
            {
                word = (word * kernel.Ways) + RanksKernel.Rank(Bits(raw, first + g, group));
            }

            RanksKernel.WriteBits(body, w * kernel.WordBits, kernel.WordBits, word);
        }

        raw[^tail..].CopyTo(destination[(int)(length - tail)..]);
        written = (int)length;
        return true;
    }

    private static bool IsBalanced(ReadOnlySpan<byte> raw, int group, int kept)
    {
        int count = raw.Length / (group / 8);
        for (int g = 0; g < count; g++)
        {
            if (BitOperations.PopCount(Bits(raw, g, group)) != kept)
            {
                return false;
            }
        }

        return true;
    }

    private static ulong Bits(ReadOnlySpan<byte> raw, int number, int group) => group switch
    {
        16 => BinaryPrimitives.ReadUInt16LittleEndian(raw[(2 * number)..]),
        32 => BinaryPrimitives.ReadUInt32LittleEndian(raw[(4 * number)..]),
        _ => BinaryPrimitives.ReadUInt64LittleEndian(raw[(8 * number)..]),
    };

    private static void Put(Span<byte> raw, int number, int group, ulong bits)
    {
        switch (group)
        {
            case 16:
                BinaryPrimitives.WriteUInt16LittleEndian(raw[(2 * number)..], (ushort)bits);
                break;
            case 32:
                BinaryPrimitives.WriteUInt32LittleEndian(raw[(4 * number)..], (uint)bits);
                break;
            default:
                BinaryPrimitives.WriteUInt64LittleEndian(raw[(8 * number)..], bits);
                break;
        }
    }
}
