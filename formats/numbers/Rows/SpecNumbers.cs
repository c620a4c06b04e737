using System.Globalization;

namespace ModelPack.Numbers;

/// <summary>f32 arguments of specs: the shortest text that reads back as the same number.</summary>
internal static class SpecNumbers
{
    public static string Text(float value) => value.ToString("R", CultureInfo.InvariantCulture);

    /// <summary>A finite f32 argument, or null when it is absent.</summary>
    /// <exception cref="ModelPackException">MP1022: not a finite number.</exception>
    public static float? Read(UnitSpec spec, string key)
    {
        if (!spec.Arguments.TryGetValue(key, out string? text))
        {
            return null;
        }

        return float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) && float.IsFinite(value) && Text(value) == text
            ? value
            : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': {key}={text} is not a finite number in its shortest form");
    }
}
