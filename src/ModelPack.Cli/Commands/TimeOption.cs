using System.CommandLine;
using System.Globalization;

namespace ModelPack.Cli;

/// <summary>Options such as <c>--tune 30s</c>.</summary>
internal static class TimeOption
{
    private static readonly (string Suffix, double Seconds)[] Units = [("ms", 0.001), ("s", 1), ("m", 60)];

    public static Option<TimeSpan?> Create(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "time",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (TryParse(text) is TimeSpan time)
            {
                return time;
            }

            result.AddError($"{name}: '{text}' is not a time such as 30s, 2m or 500ms");
            return null;
        },
    };

    private static TimeSpan? TryParse(string text)
    {
        foreach ((string suffix, double unit) in Units)
        {
            if (text.EndsWith(suffix, StringComparison.Ordinal) && double.TryParse(text.AsSpan(0, text.Length - suffix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double count))
            {
                return count * unit is > 0 and <= 86_400 ? TimeSpan.FromSeconds(count * unit) : null;
            }
        }

        return null;
    }
}
