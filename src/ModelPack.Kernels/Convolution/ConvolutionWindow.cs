namespace ModelPack.Kernels.Convolution;

/// <summary>Which inputs of an image a convolution multiplies for an output: input line = output line * stride - pad before + tap * dilation, and the same along lines. What lies outside is zero.</summary>
/// <param name="Vertical">From line to line.</param>
/// <param name="Horizontal">Along lines.</param>
public readonly record struct ConvolutionWindow(ConvolutionAxis Vertical, ConvolutionAxis Horizontal)
{
    /// <summary>Taps of a channel.</summary>
    public long Taps => (long)Vertical.Taps * Horizontal.Taps;
}

/// <summary>One direction of a <see cref="ConvolutionWindow"/>.</summary>
/// <param name="Taps">Size of the kernel, at least 1.</param>
/// <param name="Stride">Inputs from output to output, at least 1.</param>
/// <param name="Dilation">Inputs from tap to tap, at least 1.</param>
/// <param name="PadBefore">Zeros before the first input.</param>
/// <param name="PadAfter">Zeros behind the last.</param>
public readonly record struct ConvolutionAxis(int Taps, int Stride, int Dilation, int PadBefore, int PadAfter)
{
    /// <summary>Whether output i is made of input i alone.</summary>
    public bool IsPointwise => this is { Taps: 1, Stride: 1, PadBefore: 0, PadAfter: 0 };

    /// <summary>Whether all sizes are possible and small enough to be added without overflow.</summary>
    public bool IsPossible => IsSize(Taps, 1) && IsSize(Stride, 1) && IsSize(Dilation, 1) && IsSize(PadBefore, 0) && IsSize(PadAfter, 0);

    /// <summary>Outputs of so many inputs; 0 when the kernel is larger.</summary>
    public long Outputs(long inputs)
    {
        long room = inputs + PadBefore + PadAfter - (((long)Taps - 1) * Dilation) - 1;
        return room < 0 ? 0 : (room / Stride) + 1;
    }

    private static bool IsSize(int value, int least) => value >= least && value <= 1 << 20;
}
