namespace ModelPack;

/// <summary>
/// A lossless codec: one chunk of bytes to fewer bytes. Registered in <c>Codecs</c> under a wire id that is never reused. Stateless and thread-safe;
/// the same input gives the same bytes on every machine.
/// </summary>
public interface ICodec
{
    /// <summary>The registered name, lower case.</summary>
    string Id { get; }

    /// <summary>The byte that names this codec in chunk indexes.</summary>
    byte WireId { get; }

    /// <summary>One line for <c>modelpack formats</c>.</summary>
    string Summary { get; }

    /// <summary>Encodes <paramref name="raw"/> if the result is shorter than <paramref name="destination"/>.</summary>
    /// <param name="raw">The bytes to encode; at least one.</param>
    /// <param name="elementType">What the bytes are: selects byte planes and the like.</param>
    /// <param name="destination">Room for the result; an encoder may give up when it is full.</param>
    /// <param name="written">Bytes written.</param>
    /// <returns>False when the codec does not apply or does not fit: the caller stores the chunk or takes another codec.</returns>
    bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written);

    /// <summary>Decodes one chunk; <paramref name="raw"/> has exactly the original length.</summary>
    /// <returns>False for any malformed input; never reads or writes outside the spans. The caller reports the error.</returns>
    bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw);

    /// <summary>As <see cref="TryDecode(ReadOnlySpan{byte}, DType, Span{byte})"/>, and hashes the result, while it is in the cache where the decoder can.</summary>
    /// <param name="encoded">The chunk.</param>
    /// <param name="elementType">As for encoding.</param>
    /// <param name="raw">Room for exactly the original length.</param>
    /// <param name="hash">XXH3-64 of <paramref name="raw"/>.</param>
    bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw, out ulong hash)
    {
        bool decoded = TryDecode(encoded, elementType, raw);
        hash = decoded ? Xxh3.Hash64(raw) : 0;
        return decoded;
    }

    /// <summary>True for decoders that are not ours: what they are given must have passed its checksum. Ours keep their promises on any bytes.</summary>
    bool NeedsCheckedInput => false;
}
