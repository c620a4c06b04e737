using System.CommandLine;
using System.Globalization;

namespace ModelPack.Cli;

/// <summary>The option <c>--rows a:b</c>: a slice as Python writes it, without steps and negative numbers.</summary>
internal static class RowsOption
{
    public static Option<RowSlice?> Create(string description) => new("--rows")
    {
        Description = description,
        HelpName = "first:end",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (RowSlice.TryParse(text, out RowSlice slice))
            {
                return slice;
            }

            result.AddError($"--rows: '{text}' is not of the form first:end, such as 0:128, :128 or 128:");
            return null;
        },
    };
}

/// <summary>Rows from <paramref name="First"/> up to, without, <paramref name="End"/>; null for up to the last.</summary>
internal readonly record struct RowSlice(long First, long? End)
{
    public static bool TryParse(string text, out RowSlice slice)
    {
        slice = default;
        string[] parts = text.Split(':');
        long first = 0;
        long end = 0;
        if (parts.Length != 2 || !(parts[0].Length == 0 || IsNumber(parts[0], out first)) || !(parts[1].Length == 0 || IsNumber(parts[1], out end)))
        {
            return false;
        }

        slice = new RowSlice(first, parts[1].Length == 0 ? null : end);
        return slice.End is not long last || last >= first;
    }

    private static bool IsNumber(string text, out long value) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
}
