using System.Globalization;

namespace ModelPack.Structures;

/// <summary>What the structures of convolution kernels share: a matrix [O, I K] whose row o holds the filter of output o, K kernel elements for each of I inputs.</summary>
public static class ConvolutionFactors
{
    /// <summary>The registered name of Tucker-2 kernels.</summary>
    public const string TuckerId = "tucker2";

    /// <summary>The registered name of CP kernels.</summary>
    public const string CpId = "cp";

    private const int MaxSide = 1 << 26;

    /// <summary>The spec of a Tucker-2 kernel.</summary>
    public static UnitSpec Tucker(int inputs, int outputs) => new(TuckerId, ("inputs", Text(inputs)), ("outputs", Text(outputs)));

    /// <summary>The spec of a CP kernel.</summary>
    public static UnitSpec Cp(int rank) => new(CpId, ("rank", Text(rank)));

    /// <summary>Sizes of an encoding, checked.</summary>
    /// <exception cref="ModelPackException">MP1020, MP1022.</exception>
    public static ConvolutionSizes Of(StructuredEncoding encoding)
    {
        UnitSpec spec = encoding.Structure;
        bool cp = spec.Id == CpId;
        spec.AllowOnly(cp ? ["rank"] : ["inputs", "outputs"]);
        Shape shape = encoding.Shape;
        if (shape.Rank != 2 || shape[0] is < 1 or > MaxSide || shape[1] is < 1 or > MaxSide || encoding.Components.Length != 3 || encoding.Components[2].Shape.Rank != 2)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{spec}' cannot make {shape} of {encoding.Components.Length} components: it makes matrices of 1 to {MaxSide} rows and columns of three");
        }

        long inputs = encoding.Components[2].Shape[1];
        if (inputs < 1 || shape[1] % inputs != 0)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"component 2 of '{spec}' over {shape} has {inputs} columns, which do not divide {shape[1]}");
        }

        int kernel = (int)(shape[1] / inputs);
        int inner = spec.Int(cp ? "rank" : "inputs", 0, 1, MaxSide);
        int outer = cp ? inner : spec.Int("outputs", 0, 1, (int)shape[0]);
        if (inner == 0 || outer == 0 || (!cp && inner > inputs) || (long)inner * kernel > MaxSide)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec}' over {shape} does not say its ranks, or they are larger than what they join");
        }

        LowRank.CheckComponents(encoding, new Shape(shape[0], outer), cp ? new Shape(inner, kernel) : new Shape(outer, (long)inner * kernel), new Shape(inner, inputs));
        return new ConvolutionSizes((int)shape[0], (int)inputs, kernel, outer, inner);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>Sizes of a decomposed convolution kernel.</summary>
/// <param name="Outputs">O.</param>
/// <param name="Inputs">I.</param>
/// <param name="Kernel">K, elements of the kernel.</param>
/// <param name="Outer">Rank of the outputs.</param>
/// <param name="Inner">Rank of the inputs; for CP the same.</param>
public sealed record ConvolutionSizes(int Outputs, int Inputs, int Kernel, int Outer, int Inner);
