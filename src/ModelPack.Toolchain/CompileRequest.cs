using ModelPack.Architectures;
using ModelPack.Codecs;

namespace ModelPack.Toolchain;

/// <summary>What to compile and how. Defaults are right for most models.</summary>
public sealed record CompileRequest
{
    /// <summary>An .onnx file, a .safetensors file or a checkpoint folder.</summary>
    public required string Input { get; init; }

    /// <summary>Compile a checkpoint folder as tensors without a graph, even where its architecture is known: the artifact cannot be run.</summary>
    public bool WeightsOnly { get; init; }

    /// <summary>What the graph of a checkpoint folder takes and gives: with keys and values of earlier tokens in one of the cached forms.</summary>
    public GraphForm Form { get; init; }

    /// <summary>The artifact to write.</summary>
    public required string Output { get; init; }

    /// <summary>A built-in recipe name or the path of a recipe file; null for the one that fits the kind of model (<see cref="RecipeChoice"/>).</summary>
    public string? Recipe { get; init; }

    /// <summary>Overrides of the form <c>pass.option=value</c>.</summary>
    public IReadOnlyList<string> Sets { get; init; } = [];

    /// <summary>What recipe <c>auto</c> has to reach; for no other recipe. Without a recipe it means <c>auto</c>.</summary>
    public TuneTarget? TuneTarget { get; init; }

    /// <summary>Where the artifact will be used, one of <see cref="TargetProfiles.Names"/>.</summary>
    public string Target { get; init; } = TargetProfiles.Generic;

    /// <summary>Target <c>int8-only</c>: what cannot run on integers is a warning, not an error.</summary>
    public bool AllowFloat { get; init; }

    /// <summary>
    /// <c>identical</c>: plain float weights on ONNX Runtime's operators, whose outputs stay the same bit for bit; <c>exact</c>: f32 arithmetic on the decoded weights; <c>fast</c>: also kernels that round activations to int8 per block, several times faster on
    /// matrix-vector products at about 0.5 % relative error of each product. Null: what the recipe says of models, <c>exact</c> where it says nothing and for checkpoints, which have no outputs to keep.
    /// </summary>
    public string? Accuracy { get; init; }

    /// <summary>Only operators of ONNX Runtime itself in the execution graph, none of ModelPack's own.</summary>
    public bool StockOperators { get; init; }

    /// <summary>A hardware profile by whose measurements kernels are chosen and times predicted: a built-in name or a file made by <c>modelpack profile</c>; null for the choices that are good on most machines.</summary>
    public string? Profile { get; init; }

    /// <summary>Time for measuring the products of the model on this machine, by which kernels are chosen then; null for none.</summary>
    public TimeSpan? Tune { get; init; }

    /// <summary>Rows of activations that they are measured with: 1 for generating text.</summary>
    public int TuneRows { get; init; } = 1;

    /// <summary>What measures them.</summary>
    internal KernelTuner? Tuner { get; init; }

    /// <summary>The profile once it is loaded.</summary>
    internal HardwareProfile? LoadedProfile { get; init; }

    /// <summary>Calibration data (a token file or a folder of .npy inputs) or statistics made by <c>calibrate</c>; null for none. Recipes that do not need them do not look.</summary>
    public string? Calibration { get; init; }

    /// <summary>Which part of the calibration data is used, and how.</summary>
    public CalibrationOptions CalibrationOptions { get; init; } = new();

    /// <summary>How hard the lossless codecs try.</summary>
    public CodecLevel Level { get; init; } = CodecLevel.Default;

    /// <summary>Memory that may be used for buffers, in bytes.</summary>
    public long MaxMemoryBytes { get; init; } = 2L << 30;

    /// <summary>Only codecs that decode fast on every machine, not those made for AVX-512. A <see cref="Target"/> without AVX-512 implies it.</summary>
    public bool Portable { get; init; }

    /// <summary>Whether an interrupted compilation leaves its finished tensors beside the output, for the next one to go on from. Null: for inputs of <see cref="Resuming.FromBytes"/> and more. Not with <see cref="EvalTokens"/>.</summary>
    public bool? Resume { get; init; }

    /// <summary>Worker threads; 0 means one per processor. Never changes the output bytes.</summary>
    public int Threads { get; init; }

    /// <summary>Seed for random choices, recorded in the artifact.</summary>
    public ulong Seed { get; init; }

    /// <summary>A C# class to write beside the artifact; null for none. A model without a graph has none either.</summary>
    public WrapperRequest? Wrapper { get; init; }

    /// <summary>Only report what would happen.</summary>
    public bool DryRun { get; init; }

    /// <summary>A token file to measure perplexity on, before and after; null for none.</summary>
    public string? EvalTokens { get; init; }

    /// <summary>Tokens per evaluation window.</summary>
    public int EvalWindow { get; init; } = 256;
}
