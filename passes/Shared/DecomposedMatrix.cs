using ModelPack.Compiler;
using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>Weights that are stored as factors of a matrix.</summary>
internal static class DecomposedMatrix
{
    /// <summary>The structure whose components are the factors; null for other weights.</summary>
    public static StructuredEncoding? Of(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding { Structure.Id: LowRank.Id or LowRank.PivotId or MpoShape.Id or ConvolutionFactors.TuckerId or ConvolutionFactors.CpId } matrix => matrix,
        StructuredEncoding { Components: [WeightEncoding only] } => Of(only),
        _ => null,
    };

    /// <summary>True for a part of low rank with what it leaves: the parts were made for each other and stay as they are.</summary>
    public static bool IsSum(WeightEncoding encoding) => encoding is StructuredEncoding { Structure.Id: SumOf.Id } or StructuredEncoding { Components: [StructuredEncoding { Structure.Id: SumOf.Id }] };

    /// <summary>True for factors in a plain float type, which may be encoded; masks are not.</summary>
    public static bool IsPlain(WeightEncoding component) => Structured.IsRaw(component, out DType stored) && stored.IsFloat();

    /// <summary>The same weight with other factors of the same shapes.</summary>
    public static WeightEncoding With(WeightEncoding encoding, Func<WeightEncoding, WeightEncoding> change) => encoding switch
    {
        StructuredEncoding { Components: [WeightEncoding only] } outer => outer with { Components = [With(only, change)] },
        StructuredEncoding matrix => matrix with { Components = [.. matrix.Components.Select(c => IsPlain(c) ? change(c) : c)] },
        _ => encoding,
    };
}
