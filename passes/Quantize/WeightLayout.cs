namespace ModelPack.Passes;

/// <summary>Where the reduction axis of a weight lies, that is along what blocks must run.</summary>
internal enum WeightLayout
{
    /// <summary>Rows of the tensor are what is summed over or looked up: [N, K].</summary>
    Rows,

    /// <summary>Columns are: [K, N].</summary>
    Columns,

    /// <summary>All axes but the first are: [O, I/groups, kH, kW].</summary>
    Filters,

    /// <summary>The first axis of a tensor of more than two: [K, ...]. Only on request.</summary>
    First,
}

/// <summary>What a weight is for, as far as the choice of precision goes.</summary>
internal enum WeightRole
{
    /// <summary>A linear layer inside the network.</summary>
    Hidden,

    /// <summary>A convolution inside the network.</summary>
    Convolution,

    /// <summary>An embedding table, the layer that reads the graph's input, or the layer that makes its output.</summary>
    End,
}

/// <summary>How a tensor is used, or why that use keeps it from being quantised.</summary>
/// <param name="Layout">Where the reduction axis lies.</param>
/// <param name="Role">What it is for.</param>
/// <param name="Op">Operator that reads it, one of the values of option <c>ops</c>.</param>
/// <param name="Refusal">Null, or the reason not to quantise.</param>
/// <param name="Activation">The value of the main graph that it is multiplied with, vectors of K along the last axis or <paramref name="Patches"/>; null where there is none, or not one only.</param>
/// <param name="Patches">For convolutions: the patches of the first group.</param>
/// <param name="Groups">Groups of a convolution; each has as many filters.</param>
internal readonly record struct WeightUsage(
    WeightLayout Layout, WeightRole Role, string Op, string? Refusal = null, string? Activation = null, Compiler.Calibration.ConvolutionPatches? Patches = null, int Groups = 1)
{
    public static WeightUsage Refuse(string reason) => new(WeightLayout.Rows, WeightRole.Hidden, "", reason);
}
