using System.Buffers.Binary;

namespace ModelPack.Pack;

/// <summary>One record of the chunk index: where a chunk is, how it is coded and what it must hash to.</summary>
/// <param name="OffsetBytes">Where the stored bytes start in the file.</param>
/// <param name="StoredBytes">Stored length.</param>
/// <param name="RawBytes">Decoded length.</param>
/// <param name="Codec">Wire id of the codec.</param>
/// <param name="StoredHash">XXH3-64 of the stored bytes.</param>
/// <param name="RawHash">XXH3-64 of the decoded bytes.</param>
internal readonly record struct ChunkRecord(long OffsetBytes, int StoredBytes, int RawBytes, byte Codec, ulong StoredHash, ulong RawHash)
{
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteInt64LittleEndian(destination, OffsetBytes);
        BinaryPrimitives.WriteInt32LittleEndian(destination[8..], StoredBytes);
        BinaryPrimitives.WriteInt32LittleEndian(destination[12..], RawBytes);
        BinaryPrimitives.WriteInt64LittleEndian(destination[16..], Codec);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[24..], StoredHash);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[32..], RawHash);
    }

    /// <summary>Reads a record; false when a reserved byte is set or a length is out of range.</summary>
    public static bool TryRead(ReadOnlySpan<byte> source, out ChunkRecord record)
    {
        record = new ChunkRecord(
            BinaryPrimitives.ReadInt64LittleEndian(source),
            BinaryPrimitives.ReadInt32LittleEndian(source[8..]),
            BinaryPrimitives.ReadInt32LittleEndian(source[12..]),
            source[16],
            BinaryPrimitives.ReadUInt64LittleEndian(source[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[32..]));
        return BinaryPrimitives.ReadInt64LittleEndian(source[16..]) == record.Codec
            && record.OffsetBytes >= 0
            && record.RawBytes is > 0 and <= PackLayout.MaxChunkBytes
            && record.StoredBytes > 0
            && record.StoredBytes <= record.RawBytes
            && (record.Codec != 0 ? record.RawBytes <= PackLayout.MaxCodedChunkBytes : record.StoredBytes == record.RawBytes && record.StoredHash == record.RawHash);
    }
}
