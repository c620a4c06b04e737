using System.Globalization;

namespace ModelPack.Cli;

/// <summary>Numbers as text, the same way in every command.</summary>
internal static class Words
{
    public static string Seconds(double seconds) => seconds switch
    {
        < 0.001 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:0} us"),
        < 1 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e3:0} ms"),
        < 60 => string.Create(CultureInfo.InvariantCulture, $"{seconds:0.0} s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{(long)seconds / 60} min {(long)seconds % 60} s"),
    };

    public static string Milliseconds(double ms) => string.Create(CultureInfo.InvariantCulture, $"{ms:0.###} ms");

    public static string Ratio(double ratio) => string.Create(CultureInfo.InvariantCulture, $"{ratio:0.00}x");

    /// <summary>A relative error as a percentage with three significant digits; <c>0</c> when exact, <c>-</c> when not measured.</summary>
    public static string Percent(double? fraction)
    {
        if (fraction is not double f)
        {
            return "-";
        }

        double percent = f * 100;
        string format = Math.Abs(percent) switch
        {
            0 => "0",
            >= 99.95 => "0",
            >= 9.995 => "0.0",
            >= 0.995 => "0.00",
            _ => "G3",
        };
        return percent.ToString(format, CultureInfo.InvariantCulture) + (percent == 0 ? "" : " %");
    }

    /// <summary>Four significant digits; <c>-</c> for absent.</summary>
    public static string Number(double? value) => value is double v ? v.ToString("G4", CultureInfo.InvariantCulture) : "-";

    public static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    public static string Fixed(double? value, int decimals) =>
        value is double v ? v.ToString("F" + decimals.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture) : "-";

    public static string Count(long n, string singular) => string.Create(CultureInfo.InvariantCulture, $"{n} {singular}{(n == 1 ? "" : "s")}");

    public static string Dims(IEnumerable<long> dims) => $"[{string.Join(',', dims.Select(d => d.ToString(CultureInfo.InvariantCulture)))}]";

    /// <summary>Names come from files: no control characters reach the terminal.</summary>
    public static string Printable(string text) =>
        text.Any(char.IsControl) ? new string([.. text.Select(c => char.IsControl(c) ? '?' : c)]) : text;

    /// <summary>As <see cref="Printable"/>, for text of several lines and columns.</summary>
    public static string PrintableText(string text) =>
        new([.. text.Select(c => char.IsControl(c) && c is not ('\n' or '\t') ? '?' : c)]);
}
