namespace ModelPack.Numbers;

/// <summary>One block type of ggml: a fixed number of values in a fixed number of bytes.</summary>
internal interface IGgufBlock
{
    static abstract int Values { get; }

    static abstract int Bytes { get; }

    /// <summary>Encodes one block of finite values; false when its scale does not fit.</summary>
    static abstract bool Encode(ReadOnlySpan<float> values, Span<byte> block);

    /// <summary>Decodes one block value by value: the oracle.</summary>
    static abstract void DecodeReference(ReadOnlySpan<byte> block, Span<float> values);

    /// <summary>Decodes one block over 16 lanes.</summary>
    static abstract void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>;
}
