using System.Buffers;

namespace ModelPack.Runtime.Graphs;

/// <summary>Appends protobuf fields to a growing buffer.</summary>
internal sealed class ProtoBuffer(int capacity)
{
    private readonly ArrayBufferWriter<byte> _bytes = new(Math.Max(16, capacity));

    public ReadOnlySpan<byte> Written => _bytes.WrittenSpan;

    public byte[] ToArray() => _bytes.WrittenSpan.ToArray();

    /// <summary>A field copied from another message.</summary>
    public void Copy(ReadOnlySpan<byte> wholeField) => _bytes.Write(wholeField);

    public void Varint(int field, ulong value)
    {
        Raw((ulong)field << 3);
        Raw(value);
    }

    public void Bytes(int field, ReadOnlySpan<byte> payload)
    {
        Raw(((ulong)field << 3) | 2);
        Raw((ulong)payload.Length);
        _bytes.Write(payload);
    }

    private void Raw(ulong value)
    {
        Span<byte> span = _bytes.GetSpan(10);
        int n = 0;
        while (value >= 0x80)
        {
            span[n++] = (byte)(value | 0x80);
            value >>= 7;
        }

        span[n++] = (byte)value;
        _bytes.Advance(n);
    }
}
