namespace ModelPack.Toolchain;

/// <summary>Choices of an export beside its format.</summary>
public sealed record ExportOptions
{
    /// <summary>What becomes of compressed weights.</summary>
    public ExportForm Form { get; init; } = ExportForm.Stock;

    /// <summary>For <c>gguf</c> and <c>compressed-tensors</c>: the type (f32, bf16 or f16) that weights are written in whose encoding the format does not have. Null: they are an error, for nothing is quantised again.</summary>
    public DType? Others { get; init; }

    /// <summary>For <c>compressed-tensors</c>: whether runtimes are told to round activations to 8 bits. Null: as the artifact's recipe does, and for 8-bit floats.</summary>
    public bool? RoundActivations { get; init; }

    /// <summary>For folders: most bytes of tensors in a <c>.safetensors</c> file; more make shards and an index. Null: 5 GB, as hubs have it.</summary>
    public long? MaxShardBytes { get; init; }

    /// <summary>Whether an interrupted export leaves its finished tensors beside the output, for the next one to go on from. Null: for sources of <see cref="Resuming.FromBytes"/> and more. Exports to onnx and genai start over.</summary>
    public bool? Resume { get; init; }
}
