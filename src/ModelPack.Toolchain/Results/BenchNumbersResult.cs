namespace ModelPack.Toolchain;

/// <summary>Speeds of number formats on one core, beside memory copies in the same run.</summary>
public sealed record BenchNumbersResult
{
    public required IReadOnlyList<BenchedFormat> Results { get; init; }

    /// <summary>Copying f32 from one buffer to another, both larger than the caches: the median over the whole run, in 10^9 bytes of output per second.</summary>
    public required double MemcpyGbps { get; init; }

    public required string Cpu { get; init; }

    /// <summary>Values in the matrix that was coded.</summary>
    public required long Values { get; init; }
}

/// <summary>One number format.</summary>
public sealed record BenchedFormat
{
    /// <summary>The format with its arguments.</summary>
    public required string Format { get; init; }

    public required double BitsPerWeight { get; init; }

    /// <summary>10^9 bytes of f32 input per second.</summary>
    public required double EncodeGbps { get; init; }

    /// <summary>10^9 bytes of f32 output per second.</summary>
    public required double DecodeGbps { get; init; }

    /// <summary>10^9 bytes of bf16 output per second.</summary>
    public required double DecodeBf16Gbps { get; init; }

    /// <summary>10^9 bytes of f16 output per second.</summary>
    public required double DecodeF16Gbps { get; init; }

    /// <summary>10^9 bytes of f32 per second, copied between the passes over this format.</summary>
    public required double MemcpyGbps { get; init; }

    /// <summary><see cref="DecodeGbps"/> / <see cref="MemcpyGbps"/>.</summary>
    public required double DecodeRatio { get; init; }
}
