using System.Globalization;

namespace ModelPack.Toolchain;

/// <summary>What is in a file.</summary>
public sealed record InspectResult
{
    public required string Path { get; init; }

    /// <summary><c>onnx</c>, <c>safetensors</c>, <c>checkpoint</c>, <c>gguf</c>, <c>mpack</c> (compiled) or <c>mpack-files</c> (packed files).</summary>
    public required string Format { get; init; }

    public required long FileBytes { get; init; }

    public required IReadOnlyList<InspectedTensor> Tensors { get; init; }

    /// <summary>Metadata, graph facts, provenance: sorted by key.</summary>
    public required IReadOnlyDictionary<string, string> Metadata { get; init; }

    /// <summary>Operators and how often each occurs; empty without a graph.</summary>
    public required IReadOnlyDictionary<string, int> Operators { get; init; }

    public required IReadOnlyList<InspectedValue> Inputs { get; init; }

    public required IReadOnlyList<InspectedValue> Outputs { get; init; }
}

/// <summary>One tensor in a file.</summary>
public sealed record InspectedTensor
{
    public required string Name { get; init; }

    public required IReadOnlyList<long> Shape { get; init; }

    public required string DType { get; init; }

    public required string Encoding { get; init; }

    /// <summary>Dense bytes in the tensor's own dtype.</summary>
    public required long Bytes { get; init; }

    /// <summary>Bits per element of what is encoded, before lossless coding; null without elements.</summary>
    public double? BitsPerWeight { get; init; }

    /// <summary>Bytes in the file.</summary>
    public required long StoredBytes { get; init; }

    /// <summary>What is stored of a sparse matrix; null for dense tensors.</summary>
    public InspectedSparsity? Sparsity { get; init; }

    /// <summary>Streams of a packed tensor.</summary>
    public IReadOnlyList<InspectedStream> Streams { get; init; } = [];
}

/// <summary>What is stored of a sparse matrix: values (zeros among them included) and their share of all elements; blocks where it has blocks.</summary>
public sealed record InspectedSparsity(string Structure, double Density, long StoredValues, long? Blocks, long? BlocksTotal)
{
    /// <summary>In a few words, for people.</summary>
    public override string ToString() => Blocks is null
        ? string.Create(CultureInfo.InvariantCulture, $"{Structure}: {Density * 100:0.##} % stored")
        : string.Create(CultureInfo.InvariantCulture, $"{Structure}: {Blocks} of {BlocksTotal} blocks, {Density * 100:0.##} % stored");
}

/// <summary>One stream of a packed tensor.</summary>
public sealed record InspectedStream(string Role, long Bytes, long StoredBytes, string Codec, long Chunks);

/// <summary>A graph input or output: dimensions are numbers, symbols or <c>?</c>.</summary>
public sealed record InspectedValue(string Name, string DType, IReadOnlyList<string> Dims);
