namespace ModelPack.Toolchain;

/// <summary>Size and speed of every lossless codec on every kind of data in a file.</summary>
public sealed record BenchCodecResult
{
    public required string Path { get; init; }

    /// <summary>One row per kind of data and codec, kinds in the order of the file.</summary>
    public required IReadOnlyList<BenchedCodec> Results { get; init; }

    /// <summary>Sizes to judge the results by, one per kind of data.</summary>
    public required IReadOnlyList<CodecReference> References { get; init; }

    /// <summary>Copying the largest kind of data from memory to memory on one core, in 10^9 bytes per second.</summary>
    public required double MemcpyGbps { get; init; }

    public required string Cpu { get; init; }

    /// <summary>Threads of the second pair of speeds.</summary>
    public required int Threads { get; init; }
}

/// <summary>A codec on one kind of data. Speeds are 10^9 original bytes per second; decoding checks both checksums, as the reader of artifacts does.</summary>
public sealed record BenchedCodec
{
    /// <summary>The codec; <c>pack</c> with its options for the choice that the packer makes tensor by tensor.</summary>
    public required string Codec { get; init; }

    /// <summary>Element type of the data.</summary>
    public required string Dtype { get; init; }

    /// <summary>What the data are: <c>values</c>, or the role of a stream of a number format, such as <c>codes</c>.</summary>
    public required string Role { get; init; }

    /// <summary>Original bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>Coded bytes; chunks that do not shrink are stored.</summary>
    public required long CodedBytes { get; init; }

    /// <summary><see cref="Bytes"/> / <see cref="CodedBytes"/>.</summary>
    public required double Ratio { get; init; }

    public required double EncodeGbps { get; init; }

    public required double DecodeGbps { get; init; }

    /// <summary>Encoding on all threads; null when there is one.</summary>
    public double? EncodeThreadsGbps { get; init; }

    /// <summary>Decoding on all threads; null when there is one.</summary>
    public double? DecodeThreadsGbps { get; init; }

    /// <summary>A copy of the same data, measured between the passes.</summary>
    public required double MemcpyGbps { get; init; }
}

/// <summary>What one kind of data takes by definitions that need no codec.</summary>
public sealed record CodecReference
{
    public required string Dtype { get; init; }

    public required string Role { get; init; }

    public required int Tensors { get; init; }

    /// <summary>Bytes that were measured; less than the file has when it has very many.</summary>
    public required long Bytes { get; init; }

    /// <summary>ZipNN's size, every tensor packed alone.</summary>
    public required long ZipnnBytes { get; init; }

    /// <summary>A static model of exponents with up to 16 classes of blocks of 256, labels and tables included, sign and mantissa raw.</summary>
    public required long BoundBytes { get; init; }

    /// <summary>As <see cref="BoundBytes"/>, the first bit of the mantissa joined to the exponent.</summary>
    public required long MantissaBoundBytes { get; init; }

    /// <summary>The part of the gap between <see cref="ZipnnBytes"/> and <see cref="BoundBytes"/> that <c>pack</c> at its default level realises; null when there is no gap.</summary>
    public double? Realized { get; init; }
}
