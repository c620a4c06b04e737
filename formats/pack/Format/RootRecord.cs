using System.Buffers.Binary;

namespace ModelPack.Pack;

/// <summary>The fixed record at the end of an artifact from which everything else is found and checked.</summary>
internal readonly record struct RootRecord(
    int Version,
    long FileBytes,
    long HeaderBytes,
    ulong HeaderHash,
    long ManifestOffset,
    long ManifestStoredBytes,
    long ManifestRawBytes,
    ulong ManifestHash,
    long IndexOffset,
    long IndexBytes,
    ulong IndexHash)
{
    public void Write(Span<byte> destination)
    {
        destination = destination[..PackLayout.RootBytes];
        destination.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(destination, PackLayout.RootMagic);
        BinaryPrimitives.WriteInt32LittleEndian(destination[8..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(destination[16..], FileBytes);
        BinaryPrimitives.WriteInt64LittleEndian(destination[24..], HeaderBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[32..], HeaderHash);
        BinaryPrimitives.WriteInt64LittleEndian(destination[40..], ManifestOffset);
        BinaryPrimitives.WriteInt64LittleEndian(destination[48..], ManifestStoredBytes);
        BinaryPrimitives.WriteInt64LittleEndian(destination[56..], ManifestRawBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[64..], ManifestHash);
        BinaryPrimitives.WriteInt64LittleEndian(destination[72..], IndexOffset);
        BinaryPrimitives.WriteInt64LittleEndian(destination[80..], IndexBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[88..], IndexHash);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[120..], Xxh3.Hash64(destination[..120]));
    }

    /// <summary>True when the bytes start with the magic number, whatever follows.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> source) =>
        source.Length >= PackLayout.RootBytes && BinaryPrimitives.ReadUInt64LittleEndian(source) == PackLayout.RootMagic;

    /// <summary>Reads a record; false when its own hash does not match.</summary>
    public static bool TryRead(ReadOnlySpan<byte> source, out RootRecord root)
    {
        root = new RootRecord(
            BinaryPrimitives.ReadInt32LittleEndian(source[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[32..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[40..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[48..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[56..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[64..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[72..]),
            BinaryPrimitives.ReadInt64LittleEndian(source[80..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[88..]));
        return BinaryPrimitives.ReadUInt64LittleEndian(source[120..]) == Xxh3.Hash64(source[..120]);
    }
}
