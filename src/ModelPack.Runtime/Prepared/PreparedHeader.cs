using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Runtime.Prepared;

/// <summary>A weight in a file of prepared weights.</summary>
/// <param name="OffsetBytes">Where it begins, a multiple of <see cref="PreparedHeader.AlignmentBytes"/>.</param>
/// <param name="LengthBytes">Its length.</param>
/// <param name="Checksum">See <see cref="PreparedHeader.Checksum"/>.</param>
internal readonly record struct PreparedEntry(long OffsetBytes, long LengthBytes, ulong Checksum);

/// <summary>
/// The beginning of a file of prepared weights, little-endian: "MPWEIGHT", version (u32), number of weights (u32), length of the file (u64), identity of the artifact (32 bytes), key (32 bytes); for each weight offset, length and
/// checksum (u64 each); XXH3-64 of all that. Weights follow in the order of the table, each at the next multiple of 4096: there is one place where each can be. The file ends with the last one.
/// </summary>
internal sealed record PreparedHeader(byte[] Artifact, byte[] Key, ImmutableArray<PreparedEntry> Entries)
{
    public const uint Version = 1;

    /// <summary>Pages of every system that maps files in units of 4 KiB.</summary>
    public const int AlignmentBytes = 4096;

    private const int FixedBytes = 24 + (2 * PreparedKey.LengthBytes);
    private const int EntryBytes = 24;
    private const int PieceBytes = 64 << 20;

    /// <summary>More weights than any model has; a table of them still is small.</summary>
    private const uint MaxEntries = 1 << 20;

    private static ReadOnlySpan<byte> Magic => "MPWEIGHT"u8;

    /// <summary>Length of the header.</summary>
    public int LengthBytes => SizeBytes(Entries.Length);

    /// <summary>Length of the file.</summary>
    public long FileBytes => Entries.IsEmpty ? LengthBytes : Entries[^1].OffsetBytes + Entries[^1].LengthBytes;

    /// <summary>A header for weights of such lengths, with their places and no checksums yet; null where they fit into no file.</summary>
    public static PreparedHeader? Plan(byte[] artifact, byte[] key, IReadOnlyList<long> lengthsBytes)
    {
        var entries = ImmutableArray.CreateBuilder<PreparedEntry>(lengthsBytes.Count);
        long end = SizeBytes(lengthsBytes.Count);
        foreach (long length in lengthsBytes)
        {
            long start = Aligned(end);
            if (length > long.MaxValue - (2 * AlignmentBytes) - start)
            {
                return null;
            }

            entries.Add(new PreparedEntry(start, length, 0));
            end = start + length;
        }

        return lengthsBytes.Count > MaxEntries ? null : new PreparedHeader(artifact, key, entries.DrainToImmutable());
    }

    /// <summary>The checksum of a weight: XXH3-64 of the XXH3-64 values (u64) of its pieces of 64 MiB.</summary>
    public static unsafe ulong Checksum(nint address, long lengthBytes)
    {
        byte[] sums = new byte[sizeof(ulong) * ((lengthBytes + PieceBytes - 1) / PieceBytes)];
        for (long at = 0; at < lengthBytes; at += PieceBytes)
        {
            ulong sum = Xxh3.Hash64(new ReadOnlySpan<byte>((byte*)address + at, (int)Math.Min(PieceBytes, lengthBytes - at)));
            BinaryPrimitives.WriteUInt64LittleEndian(sums.AsSpan((int)(at / PieceBytes * sizeof(ulong))), sum);
        }

        return Xxh3.Hash64(sums);
    }

    /// <summary>The header as bytes.</summary>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[LengthBytes];
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), Version);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(12), (uint)Entries.Length);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(16), FileBytes);
        Artifact.CopyTo(bytes, 24);
        Key.CopyTo(bytes, 24 + PreparedKey.LengthBytes);
        int at = FixedBytes;
        foreach (PreparedEntry entry in Entries)
        {
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(at), entry.OffsetBytes);
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(at + 8), entry.LengthBytes);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at + 16), entry.Checksum);
            at += EntryBytes;
        }

        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at), Xxh3.Hash64(bytes.AsSpan(0, at)));
        return bytes;
    }

    /// <summary>Reads the header of a file.</summary>
    /// <returns>What is wrong with it; null when it is whole and the file as long as it says.</returns>
    /// <exception cref="ModelPackException">MP1002, MP1003: the file cannot be read.</exception>
    public static string? TryRead(MappedFile file, out PreparedHeader? header)
    {
        header = null;
        if (file.LengthBytes < SizeBytes(0))
        {
            return string.Create(CultureInfo.InvariantCulture, $"has {file.LengthBytes} bytes, fewer than a header");
        }

        byte[] start = new byte[FixedBytes];
        file.Read(0, start);
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(start.AsSpan(8));
        uint count = BinaryPrimitives.ReadUInt32LittleEndian(start.AsSpan(12));
        if (!start.AsSpan().StartsWith(Magic) || version != Version)
        {
            return "does not hold prepared weights of this version";
        }

        if (count > MaxEntries || SizeBytes((int)count) > file.LengthBytes)
        {
            return "is damaged: its header names more weights than fit";
        }

        byte[] bytes = new byte[SizeBytes((int)count)];
        file.Read(0, bytes);
        if (Xxh3.Hash64(bytes.AsSpan(0, bytes.Length - sizeof(ulong))) != BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(bytes.Length - sizeof(ulong))))
        {
            return "is damaged: its header is not the one that was written";
        }

        var read = new PreparedHeader(bytes[24..(24 + PreparedKey.LengthBytes)], bytes[(24 + PreparedKey.LengthBytes)..FixedBytes], [.. Enumerable.Range(0, (int)count).Select(i => Entry(bytes.AsSpan(FixedBytes + (i * EntryBytes))))]);
        if (read.Entries.Any(e => e.LengthBytes < 0) || Plan(read.Artifact, read.Key, [.. read.Entries.Select(e => e.LengthBytes)]) is not PreparedHeader expected || !expected.Entries.Zip(read.Entries).All(p => p.First.OffsetBytes == p.Second.OffsetBytes))
        {
            return "is damaged: its table names places where no weight can be";
        }

        long said = BinaryPrimitives.ReadInt64LittleEndian(bytes.AsSpan(16));
        if (said != read.FileBytes || said != file.LengthBytes)
        {
            return string.Create(CultureInfo.InvariantCulture, $"is damaged: it has {file.LengthBytes} bytes and was written with {said}");
        }

        header = read;
        return null;
    }

    private static PreparedEntry Entry(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadInt64LittleEndian(bytes), BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]), BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]));

    private static int SizeBytes(int entries) => FixedBytes + (entries * EntryBytes) + sizeof(ulong);

    private static long Aligned(long offset) => (offset + AlignmentBytes - 1) & -AlignmentBytes;
}
