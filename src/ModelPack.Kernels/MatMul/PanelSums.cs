using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Sums that a panel is added to, and where they go then.</summary>
/// <param name="sums">[rows, width] sums of the panels before; null for none.</param>
/// <param name="y">Destination.</param>
/// <param name="stride">Values from one of its rows to the next.</param>
/// <param name="multiplier">What sums are multiplied by.</param>
/// <param name="bias">What is added then; null for none.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct PanelSums(float* sums, float* y, long stride, float multiplier, float* bias)
{
    /// <summary>Sums of the panels before; null for none.</summary>
    public float* Sums { get; } = sums;

    /// <summary>Destination.</summary>
    public float* Y { get; } = y;

    /// <summary>Values from one of its rows to the next.</summary>
    public long Stride { get; } = stride;

    /// <summary>What sums are multiplied by.</summary>
    public float Multiplier { get; } = multiplier;

    /// <summary>What is added then; null for none.</summary>
    public float* Bias { get; } = bias;

    /// <summary>From a row and an output on.</summary>
    /// <param name="row">Row.</param>
    /// <param name="width">Outputs of a row of the sums.</param>
    /// <param name="output">Output.</param>
    public PanelSums From(int row, int width, int output) =>
        new(Sums == null ? null : Sums + (row * width) + output, Y + (row * Stride) + output, Stride, Multiplier, Bias == null ? null : Bias + output);
}
