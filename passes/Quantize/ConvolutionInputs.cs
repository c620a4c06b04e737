using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>The inputs of convolutions: the patches that filters are multiplied with.</summary>
internal static class ConvolutionInputs
{
    /// <summary>Adds to the usage of filters what a convolution does with its input; leaves it where attributes do not fit the filters.</summary>
    /// <param name="usage">The usage.</param>
    /// <param name="node">A Conv.</param>
    /// <param name="filters">Shape of its weight, [O, I / groups, ...].</param>
    public static WeightUsage Describe(WeightUsage usage, Node node, Shape filters)
    {
        int axes = filters.Rank - 2;
        ImmutableArray<long> kernel = [.. filters.Dims.Skip(2)];
        ImmutableArray<long> strides = Of(node, "strides", axes, 1);
        ImmutableArray<long> dilations = Of(node, "dilations", axes, 1);
        ImmutableArray<long> given = Of(node, "pads", 2 * axes, 0);
        string auto = node.Attribute("auto_pad") is AttributeValue.Text text ? System.Text.Encoding.UTF8.GetString(text.Value.Span) : "NOTSET";
        string? pads = auto switch
        {
            "NOTSET" => ConvolutionPatches.Text(given),
            "VALID" => ConvolutionPatches.Text(Enumerable.Repeat(0L, 2 * axes)),
            "SAME_UPPER" or "SAME_LOWER" => auto.ToLowerInvariant(),
            _ => null,
        };
        long groups = node.Int("group", 1);
        bool fits = axes >= 1 && pads is not null && strides.Length == axes && dilations.Length == axes && given.Length == 2 * axes && groups >= 1 && filters[0] % groups == 0
            && strides.All(s => s > 0) && dilations.All(d => d > 0) && kernel.All(k => k > 0) && given.All(p => p >= 0) && filters[1] > 0;
        return fits
            ? usage with
            {
                Activation = node.Input(0),
                Patches = new ConvolutionPatches(ConvolutionPatches.Text(kernel), ConvolutionPatches.Text(strides), ConvolutionPatches.Text(dilations), pads!, 0, checked((int)filters[1]), 0),
                Groups = checked((int)groups),
            }
            : usage;
    }

    /// <summary>The taps of the input of a weight: one, or one for each group of a convolution.</summary>
    /// <param name="usage">With an activation.</param>
    /// <param name="columns">K of a linear layer.</param>
    /// <param name="positions">Patches to take of every sample.</param>
    /// <param name="drift">Whether drift is wanted as well.</param>
    public static CalibrationTap[] Taps(WeightUsage usage, long columns, int positions, bool drift)
    {
        if (usage.Patches is not ConvolutionPatches patches)
        {
            return [new CalibrationTap(usage.Activation!, checked((int)columns), SecondMoments: true, drift)];
        }

        return
        [
            .. Enumerable.Range(0, usage.Groups).Select(g => new CalibrationTap(
                usage.Activation!, patches.Columns, SecondMoments: true, drift, patches with { FirstChannel = g * patches.Channels, Positions = positions })),
        ];
    }

    private static ImmutableArray<long> Of(Node node, string attribute, int count, long otherwise) =>
        node.Ints(attribute) is { IsEmpty: false } values ? values : [.. Enumerable.Repeat(otherwise, count)];
}
