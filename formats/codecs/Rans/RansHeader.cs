using System.Buffers.Binary;

namespace ModelPack.Codecs;

/// <summary>What stands at the beginning of a rANS block.</summary>
internal readonly ref struct RansHeader
{
    /// <summary>Bytes before the alphabet: classes and block length, size of the alphabet, escapes, words.</summary>
    public const int FixedBytes = 10;

    private RansHeader(int classes, int blockBits, ReadOnlySpan<byte> alphabet, int escapes, int words, int symbols)
    {
        Classes = classes;
        BlockBits = blockBits;
        Alphabet = alphabet;
        Escapes = escapes;
        Words = words;
        Symbols = symbols;
    }

    public int Classes { get; }

    public int BlockBits { get; }

    public ReadOnlySpan<byte> Alphabet { get; }

    public int Escapes { get; }

    public int Words { get; }

    /// <summary>Symbols of the block.</summary>
    public int Symbols { get; }

    /// <summary>Entries of a table.</summary>
    public int Entries => Alphabet.Length + 1;

    public int Blocks => ((Symbols - 1) >> (RansFormat.RowBits + BlockBits)) + 1;

    /// <summary>Tables, and escapes if there are any.</summary>
    public static int Sections(int escapes) => 1 + (escapes > 0 ? 1 : 0);

    public static void Write(Span<byte> destination, int classes, int blockBits, ReadOnlySpan<byte> alphabet, int escapes, int words)
    {
        destination[0] = (byte)((classes - 1) | (blockBits << 4));
        destination[1] = (byte)alphabet.Length;
        BinaryPrimitives.WriteInt32LittleEndian(destination[2..], escapes);
        BinaryPrimitives.WriteInt32LittleEndian(destination[6..], words);
        alphabet.CopyTo(destination[FixedBytes..]);
    }

    /// <summary>Reads and checks; no more than a block of so many symbols can have is believed.</summary>
    public static bool TryRead(ReadOnlySpan<byte> block, int symbols, out RansHeader header)
    {
        header = default;
        if (block.Length < FixedBytes || symbols < 1)
        {
            return false;
        }

        int size = block[1];
        int escapes = BinaryPrimitives.ReadInt32LittleEndian(block[2..]);
        int words = BinaryPrimitives.ReadInt32LittleEndian(block[6..]);
        if (block[0] >> 6 != 0 || size is 0 or >= RansFormat.MaxEntries || size > block.Length - FixedBytes || escapes < 0 || escapes > symbols || words < 0 || words > symbols)
        {
            return false;
        }

        ReadOnlySpan<byte> alphabet = block.Slice(FixedBytes, size);
        for (int i = 1; i < size; i++)
        {
            if (alphabet[i - 1] >= alphabet[i])
            {
                return false;
            }
        }

        header = new RansHeader((block[0] & 0xf) + 1, (block[0] >> 4) & 3, alphabet, escapes, words, symbols);
        return true;
    }
}
