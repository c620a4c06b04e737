using System.CommandLine;
using System.Globalization;

namespace ModelPack.Cli;

/// <summary>Options that take a number within a range.</summary>
internal static class NumberOption
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

    /// <summary>As the other method, for a number with a fraction.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="description">For help.</param>
    /// <param name="fallback">Its value when it is not given.</param>
    /// <param name="accepts">What is in range.</param>
    /// <param name="range">The same in words.</param>
    public static Option<double> Create(string name, string description, double fallback, Func<double, bool> accepts, string range) => new(name)
    {
        Description = description,
        HelpName = "x",
        DefaultValueFactory = _ => fallback,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (double.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out double value) && accepts(value))
            {
                return value;
            }

            result.AddError($"{name}: '{text}' is not a number {range}");
            return fallback;
        },
    };
}
