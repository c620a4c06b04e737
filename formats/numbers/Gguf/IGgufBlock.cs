namespace ModelPack.Numbers;

/// <summary>One block type of ggml: a fixed number of values in a fixed number of bytes.</summary>
internal interface IGgufBlock
{
    static abstract int Values { get; }

    static abstract int Bytes { get; }

    /// <summary>Blocks that <see cref="Encode{TLanes}"/> takes at a time.</summary>
    static virtual int Together => 1;

    /// <summary>Encodes one block of finite values value by value, into cleared bytes: the oracle. False when its scale does not fit.</summary>
    static abstract bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block);

    /// <summary>Encodes <see cref="Together"/> blocks of finite values over 16 lanes, into cleared bytes; false when a scale does not fit.</summary>
    static abstract bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>;

    /// <summary>Decodes one block value by value: the oracle.</summary>
    static abstract void DecodeReference(ReadOnlySpan<byte> block, Span<float> values);

    /// <summary>Decodes one block over 16 lanes.</summary>
    static abstract void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>;
}
