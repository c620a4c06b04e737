namespace ModelPack.Codecs;

/// <summary>Wire id 0: the bytes themselves. See SPEC.md in this folder.</summary>
internal sealed class StoredCodec : ICodec
{
    public string Id => "stored";

    public byte WireId => 0;

    public string Summary => "the bytes themselves, mappable without a copy";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        if (!raw.TryCopyTo(destination))
        {
            return false;
        }

        written = raw.Length;
        return true;
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        if (encoded.Length != raw.Length)
        {
            return false;
        }

        encoded.CopyTo(raw);
        return true;
    }
}
