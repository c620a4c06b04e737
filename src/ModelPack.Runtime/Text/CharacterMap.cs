using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>
/// SentencePiece's table of characters and what they become (<c>precompiled_charsmap</c>): <c>[u32 bytes of the trie][u32 units of a double array][texts, each ended by NUL]</c>, little-endian; the trie maps UTF-8 to offsets of texts.
/// A unit is (darts-clone) the label in bits 0 to 7, bit 8 for "a value follows", bit 9 for offsets in 256, the offset above; bit 31 marks a value.
/// </summary>
internal sealed class CharacterMap
{
    /// <summary>Longer clusters, in bytes, are looked up character by character only.</summary>
    private const int LongestCluster = 5;

    private const uint ValueMark = 1u << 31;

    private readonly uint[] _units;
    private readonly byte[] _texts;

    private CharacterMap(uint[] units, byte[] texts)
    {
        _units = units;
        _texts = texts;
    }

    /// <summary>Reads a table written in base 64.</summary>
    /// <exception cref="ModelPackException">MP5031: no string; MP5051: damaged.</exception>
    public static CharacterMap Read(Json base64)
    {
        byte[] bytes;
        try
        {
            bytes = Convert.FromBase64String(base64.Text());
        }
        catch (FormatException e)
        {
            throw Bad($"not base 64: {e.Message}", e);
        }

        long size = bytes.Length < sizeof(uint) ? throw Bad($"{bytes.Length} bytes") : BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        if (size == 0 || size % sizeof(uint) != 0 || size > bytes.Length - sizeof(uint))
        {
            throw Bad(string.Create(CultureInfo.InvariantCulture, $"a trie of {size} bytes in {bytes.Length - sizeof(uint)}"));
        }

        uint[] units = new uint[size / sizeof(uint)];
        for (int i = 0; i < units.Length; i++)
        {
            units[i] = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan((i + 1) * sizeof(uint)));
        }

        byte[] texts = bytes[(sizeof(uint) * (units.Length + 1))..];
        CheckUnits(units, texts);
        return new CharacterMap(units, texts);
    }

    /// <summary>The text with every character replaced that the table knows: short grapheme clusters as one, else character by character.</summary>
    public string Apply(string text)
    {
        var result = new StringBuilder(text.Length);
        TextElementEnumerator clusters = StringInfo.GetTextElementEnumerator(string.Concat(text.EnumerateRunes()));
        while (clusters.MoveNext())
        {
            string cluster = clusters.GetTextElement();
            if (Encoding.UTF8.GetByteCount(cluster) <= LongestCluster && Find(cluster) is string whole)
            {
                result.Append(whole);
                continue;
            }

            foreach (Rune rune in cluster.EnumerateRunes())
            {
                result.Append(Find(rune.ToString()) ?? rune.ToString());
            }
        }

        return result.ToString();
    }

    /// <summary>What the shortest entry that the piece begins with becomes, as Hugging Face's library has it: it stands for the whole piece.</summary>
    private string? Find(string piece)
    {
        uint at = Offset(_units[0]);
        foreach (byte label in Encoding.UTF8.GetBytes(piece))
        {
            at ^= label;
            if (label == 0 || at >= _units.Length || (_units[at] & (ValueMark | 0xFF)) != label)
            {
                return null;
            }

            uint unit = _units[at];
            at ^= Offset(unit);
            if (HasValue(unit))
            {
                ReadOnlySpan<byte> text = _texts.AsSpan((int)(_units[at] & ~ValueMark));
                int end = text.IndexOf((byte)0);
                return Encoding.UTF8.GetString(end < 0 ? text : text[..end]);
            }
        }

        return null;
    }

    private static bool HasValue(uint unit) => (unit & (1 << 8)) != 0;

    private static uint Offset(uint unit) => unit >> 10 << (int)((unit & (1 << 9)) >> 6);

    /// <summary>Every value that a lookup can come to is the offset of a text.</summary>
    private static void CheckUnits(uint[] units, byte[] texts)
    {
        try
        {
            _ = new UTF8Encoding(false, throwOnInvalidBytes: true).GetCharCount(texts);
        }
        catch (ArgumentException e)
        {
            throw Bad("texts that are not UTF-8", e);
        }

        for (uint i = 0; i < units.Length; i++)
        {
            uint unit = units[i];
            if ((unit & ValueMark) != 0 || !HasValue(unit))
            {
                continue;
            }

            uint leaf = i ^ Offset(unit);
            long value = leaf < units.Length ? units[leaf] & ~ValueMark : throw Bad(string.Create(CultureInfo.InvariantCulture, $"unit {i} of the trie points outside it"));
            if (value >= texts.Length || (texts[value] & 0xC0) == 0x80)
            {
                throw Bad(string.Create(CultureInfo.InvariantCulture, $"unit {leaf} of the trie has the value {value}, where no text begins"));
            }
        }
    }

    private static ModelPackException Bad(string detail, Exception? inner = null) => new(ErrorCodes.BadCharacterMap, $"{BytePairTokenizer.FileName}: normalizer: precompiled_charsmap: {detail}", innerException: inner);
}
