using System.Globalization;

namespace ModelPack.Cli;

/// <summary>Sizes as people write them.</summary>
internal static class ByteSize
{
    private static readonly (string Unit, decimal Factor)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40),
        ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("K", 1L << 10), ("M", 1L << 20), ("G", 1L << 30), ("T", 1L << 40),
        ("B", 1), ("", 1),
    ];

    /// <summary>Reads <c>2GB</c> (powers of 1000), <c>512MiB</c> or <c>512M</c> (powers of 1024), <c>1.5 GB</c> or plain bytes.</summary>
    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        string trimmed = text.Trim();
        int end = trimmed.Length;
        while (end > 0 && char.IsAsciiLetter(trimmed[end - 1]))
        {
            end--;
        }

        string unit = trimmed[end..];
        int index = Array.FindIndex(Units, u => u.Unit.Equals(unit, StringComparison.OrdinalIgnoreCase));
        if (index < 0 || !decimal.TryParse(trimmed.AsSpan(0, end), NumberStyles.AllowDecimalPoint | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out decimal number))
        {
            return false;
        }

        // Up to 8 EiB in all; the comparison comes before the product so that it cannot overflow.
        if (number > long.MaxValue / Units[index].Factor)
        {
            return false;
        }

        bytes = (long)decimal.Round(number * Units[index].Factor);
        return true;
    }

    /// <summary>Three significant digits in powers of 1000: <c>16.8 MB</c>.</summary>
    public static string Format(double bytes)
    {
        string[] units = ["B", "kB", "MB", "GB", "TB", "PB"];
        int unit = 0;
        while (Math.Abs(bytes) >= 999.5 && unit < units.Length - 1)
        {
            bytes /= 1000;
            unit++;
        }

        string digits = unit == 0 || Math.Abs(bytes) >= 99.95 ? "0" : Math.Abs(bytes) >= 9.995 ? "0.0" : "0.00";
        return $"{bytes.ToString(digits, CultureInfo.InvariantCulture)} {units[unit]}";
    }
}
