using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>Which number format the options of <c>quantize</c> mean.</summary>
internal static class QuantizeFormat
{
    private static readonly string[] IntegerOptions = ["block", "scale", "search", "symmetric"];

    /// <summary>
    /// The spec for the text of option <c>format</c>: a name, or a name with arguments. Integer formats take the options <c>block</c>, <c>scale</c>, <c>search</c> and <c>symmetric</c> for
    /// arguments that the text does not give; for other formats everything is in the text.
    /// </summary>
    /// <exception cref="ModelPackException">MP2004: no such format, or a raw one.</exception>
    public static UnitSpec Of(string text, PassOptions options)
    {
        UnitSpec spec;
        try
        {
            spec = UnitSpec.Parse(text);
            _ = NumberFormats.Get(spec.Id);
        }
        catch (ModelPackException e)
        {
            throw new ModelPackException(ErrorCodes.BadPassOption, $"option 'format' of pass 'quantize': {e.Message}", innerException: e);
        }

        if (!IsInteger(spec.Id))
        {
            return spec;
        }

        foreach (string key in IntegerOptions)
        {
            if (!spec.Arguments.ContainsKey(key))
            {
                spec = spec.With(key, key switch
                {
                    "block" => options.Integer("block").ToString(CultureInfo.InvariantCulture),
                    "symmetric" => options.Flag("symmetric") ? "true" : "false",
                    _ => options.Text(key),
                });
            }
        }

        return spec;
    }

    /// <summary>
    /// The spec for a format that keeps only -1, 0 and 1 of every weight: without loss for values that are ternary already; for others the format's own rule if that was allowed.
    /// </summary>
    /// <exception cref="ModelPackException">MP2200: the values are not ternary, and turning them into it was not allowed.</exception>
    public static UnitSpec Ternary(ITernaryFormat format, UnitSpec spec, IValueReader values, bool allowed)
    {
        if (TernaryValues.AreTernary(values, format.IsPerRow(spec)))
        {
            return format.Lossless(spec);
        }

        return allowed
            ? spec
            : throw new ModelPackException(
                ErrorCodes.TernaryAfterTraining,
                $"the weights are not ternary, and {spec.Id} keeps only their signs and zeros: a model that was not trained for it is ruined (allow it with option 'allow_ternary')");
    }

    private static bool IsInteger(string id) => id.Length == 4 && id.StartsWith("int", StringComparison.Ordinal) && char.IsAsciiDigit(id[3]);
}
