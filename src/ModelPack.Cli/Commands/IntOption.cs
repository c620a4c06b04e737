using System.CommandLine;
using System.Globalization;

namespace ModelPack.Cli;

/// <summary>Options that take a whole number within a range.</summary>
internal static class IntOption
{
    public static Option<int> Create(string name, string description, int fallback, int min, int max) => new(name)
    {
        Description = description,
        HelpName = "n",
        DefaultValueFactory = _ => fallback,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= min && value <= max)
            {
                return value;
            }

            result.AddError($"{name}: '{text}' is not a whole number from {min} to {max}");
            return fallback;
        },
    };
}
