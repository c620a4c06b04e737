using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace ModelPack.Testing;

/// <summary>Seeded damage to a byte array, of the kinds that break readers: flipped bits, cuts, insertions, repeated and moved ranges, hostile lengths.</summary>
public static class Mutations
{
    private static readonly ulong[] HostileNumbers =
    [
        0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
        0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFF8, 100_000_000, 100_000_001,
    ];

    /// <summary>Bytes that mean something in JSON, protobuf or text headers.</summary>
    private static readonly string[] Tokens =
    [
        "{", "}", "[", "]", "\"", ",", ":", "-", "\\", "\\u0000", "\\ud800", "0", "9", "1e308", "-1", "null", "true", "\0", " ", "\n",
        "18446744073709551616", "9223372036854775807", "..", "/", "[[[[[[[[", "{\"a\":",
    ];

    /// <summary>
    /// Applies one to three mutations chosen by <paramref name="seed"/>. Half of them hit the first <paramref name="hotBytes"/> bytes, where
    /// headers are; with 0 every position is as likely.
    /// </summary>
    public static Mutation Apply(ReadOnlySpan<byte> original, ulong seed, int hotBytes = 0)
    {
        var random = new SplitMix(seed);
        byte[] bytes = original.ToArray();
        var description = new StringBuilder();
        int steps = random.Below(4) == 0 ? random.Between(2, 3) : 1;
        for (int i = 0; i < steps; i++)
        {
            description.Append(i == 0 ? "" : "; ");
            bytes = Step(bytes, random, hotBytes, description);
        }

        return new Mutation(seed, bytes, description.ToString());
    }

    private static byte[] Step(byte[] bytes, SplitMix random, int hotBytes, StringBuilder description)
    {
        int at = Position(bytes.Length, random, hotBytes);
        void Say(FormattableString text) => description.Append(text.ToString(CultureInfo.InvariantCulture));
        switch (random.Below(bytes.Length == 0 ? 1 : 11))
        {
            case 0: // insert random bytes
                {
                    byte[] inserted = new byte[random.Between(1, 16)];
                    random.Fill(inserted);
                    Say($"insert {inserted.Length} random bytes at {at}");
                    return Replace(bytes, at, 0, inserted);
                }

            case 1:
                {
                    int bit = random.Below(8);
                    Say($"flip bit {bit} of byte {at}");
                    bytes[at] ^= (byte)(1 << bit);
                    return bytes;
                }

            case 2:
                {
                    int count = random.Between(2, 32);
                    Say($"flip {count} bits");
                    for (int i = 0; i < count; i++)
                    {
                        bytes[Position(bytes.Length, random, hotBytes)] ^= (byte)(1 << random.Below(8));
                    }

                    return bytes;
                }

            case 3:
                Say($"truncate to {at} bytes");
                return bytes[..at];

            case 4:
                {
                    int length = Length(bytes.Length - at, random);
                    Say($"remove {length} bytes at {at}");
                    return Replace(bytes, at, length, []);
                }

            case 5:
                {
                    int length = Length(bytes.Length - at, random);
                    Say($"repeat {length} bytes at {at}");
                    return Replace(bytes, at, 0, bytes.AsSpan(at, length));
                }

            case 6: // splice: copy a range over another place
                {
                    int from = Position(bytes.Length, random, hotBytes);
                    int length = Length(bytes.Length - Math.Max(at, from), random);
                    Say($"copy {length} bytes from {from} over {at}");
                    bytes.AsSpan(from, length).CopyTo(bytes.AsSpan(at));
                    return bytes;
                }

            case 7:
                {
                    byte value = random.Pick<byte>([0, 1, 0x7F, 0x80, 0xFF, (byte)random.Next()]);
                    int length = Length(Math.Min(64, bytes.Length - at), random);
                    Say($"set {length} bytes at {at} to {value}");
                    bytes.AsSpan(at, length).Fill(value);
                    return bytes;
                }

            case 8:
                {
                    ulong value = random.Pick<ulong>(HostileNumbers);
                    bool big = random.Flip();
                    int width = big ? 8 : 4;
                    Span<byte> number = stackalloc byte[8];
                    BinaryPrimitives.WriteUInt64LittleEndian(number, value);
                    at = random.Below(4) == 0 ? 0 : at;
                    width = Math.Min(width, bytes.Length - at);
                    Say($"write {width}-byte number {value:x} at {at}");
                    number[..width].CopyTo(bytes.AsSpan(at));
                    return bytes;
                }

            case 9: // a varint that claims a lot
                {
                    byte[] varint = new byte[random.Between(2, 11)];
                    Array.Fill(varint, (byte)0xFF);
                    varint[^1] = (byte)random.Pick<int>([0x01, 0x7F, 0x0F, 0xFF]);
                    int replaced = random.Flip() ? Math.Min(varint.Length, bytes.Length - at) : 0;
                    Say($"put a {varint.Length}-byte varint at {at}, replacing {replaced}");
                    return Replace(bytes, at, replaced, varint);
                }

            default:
                {
                    string token = random.Pick<string>(Tokens);
                    int replaced = random.Flip() ? Math.Min(token.Length, bytes.Length - at) : 0;
                    Say($"put '{token}' at {at}, replacing {replaced}");
                    return Replace(bytes, at, replaced, Encoding.UTF8.GetBytes(token));
                }
        }
    }

    private static int Position(int length, SplitMix random, int hotBytes)
    {
        if (length == 0)
        {
            return 0;
        }

        return hotBytes > 0 && random.Flip() ? random.Below(Math.Min(hotBytes, length)) : random.Below(length);
    }

    private static int Length(int available, SplitMix random) =>
        available <= 0 ? 0 : random.Below(3) == 0 ? random.Between(1, available) : random.Between(1, Math.Min(16, available));

    private static byte[] Replace(byte[] bytes, int at, int removed, ReadOnlySpan<byte> inserted)
    {
        byte[] result = new byte[bytes.Length - removed + inserted.Length];
        bytes.AsSpan(0, at).CopyTo(result);
        inserted.CopyTo(result.AsSpan(at));
        bytes.AsSpan(at + removed).CopyTo(result.AsSpan(at + inserted.Length));
        return result;
    }
}
