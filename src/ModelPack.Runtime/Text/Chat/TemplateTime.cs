using System.Globalization;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>Dates as Python's strftime writes them in its own locale.</summary>
internal static class TemplateTime
{
    /// <exception cref="ModelPackException">MP5035: a part of the format that is not understood.</exception>
    public static string Format(DateTimeOffset time, string format)
    {
        var text = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }

            text.Append(Part(time, format[++i]));
        }

        return text.ToString();
    }

    private static string Part(DateTimeOffset time, char part)
    {
        string Of(string pattern) => time.ToString(pattern, CultureInfo.InvariantCulture);
        return part switch
        {
            'd' => Of("dd"),
            'm' => Of("MM"),
            'y' => Of("yy"),
            'Y' => Of("yyyy"),
            'b' => Of("MMM"),
            'B' => Of("MMMM"),
            'a' => Of("ddd"),
            'A' => Of("dddd"),
            'H' => Of("HH"),
            'I' => Of("hh"),
            'M' => Of("mm"),
            'S' => Of("ss"),
            'p' => Of("tt"),
            'j' => time.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
            'F' => Of("yyyy-MM-dd"),
            'T' => Of("HH:mm:ss"),
            '%' => "%",
            _ => throw ChatTemplate.Error($"strftime_now with '%{part}', which is not understood"),
        };
    }
}
