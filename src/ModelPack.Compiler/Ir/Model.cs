using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>
/// A model as passes see it: an immutable snapshot. A checkpoint without a graph (safetensors) has only <see cref="Graph.Initializers"/> in
/// its <see cref="Graph"/>, so the same passes run over both kinds.
/// </summary>
public sealed record Model
{
    /// <summary>What the model was read from.</summary>
    public required ModelKind Kind { get; init; }

    public required Graph Graph { get; init; }

    public ImmutableArray<Function> Functions { get; init; } = [];

    /// <summary>Operator-set versions by domain (empty string for ai.onnx).</summary>
    public ImmutableSortedDictionary<string, long> Opsets { get; init; } = ImmutableSortedDictionary<string, long>.Empty.WithComparers(StringComparer.Ordinal);

    /// <summary>ONNX IR version; 0 for checkpoints.</summary>
    public long IrVersion { get; init; }

    /// <summary>User metadata: ONNX <c>metadata_props</c> or safetensors <c>__metadata__</c>, in file order.</summary>
    public ImmutableArray<KeyValuePair<string, string>> Metadata { get; init; } = [];

    /// <summary>Files of a checkpoint folder that are carried along unchanged (config.json, tokenizer files), by relative path.</summary>
    public ImmutableArray<CarriedFile> Files { get; init; } = [];

    /// <summary>For a checkpoint that was given a graph: what it was before. Null for all other models.</summary>
    public CheckpointForm? Checkpoint { get; init; }

    /// <summary>Tensors of a checkpoint that its graph does not read: stored as they are. Passes do not touch them.</summary>
    public ImmutableArray<Tensor> CarriedTensors { get; init; } = [];

    /// <summary>Training graphs, carried along; passes do not touch them.</summary>
    public ImmutableArray<TrainingInfo> Training { get; init; } = [];

    /// <summary>Container fields not modelled (producer, model version, configurations).</summary>
    public ForeignFields Foreign { get; init; }
}

/// <summary>Where a model came from.</summary>
public enum ModelKind
{
    /// <summary>An ONNX file, or a checkpoint with a graph (<see cref="Model.Checkpoint"/>): can be run.</summary>
    Onnx,

    /// <summary>One safetensors file: tensors only.</summary>
    Safetensors,

    /// <summary>A Hugging Face checkpoint folder: tensors, configuration and tokenizer files. With a graph built for it, it counts as <see cref="Onnx"/>.</summary>
    Checkpoint,
}

/// <summary>A file carried along unchanged.</summary>
/// <param name="RelativePath">Path below the checkpoint folder, with forward slashes.</param>
/// <param name="Data">Its bytes.</param>
public sealed record CarriedFile(string RelativePath, TensorData Data);
