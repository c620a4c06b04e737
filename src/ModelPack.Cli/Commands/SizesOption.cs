using System.CommandLine;
using System.Globalization;

namespace ModelPack.Cli;

/// <summary><c>--size</c>: sizes that a model leaves open, by name.</summary>
internal static class SizesOption
{
    public const string Name = "--size";

    public static Option<string[]> Create(string description) => new(Name) { Description = description, HelpName = "name=n" };

    /// <summary>What was given; empty without the option.</summary>
    /// <exception cref="UsageException">Not of the form name=number.</exception>
    public static Dictionary<string, long> Get(Session session, Option<string[]> option)
    {
        var sizes = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (string text in session.Get(option) ?? [])
        {
            int at = text.LastIndexOf('=');
            if (at <= 0 || !long.TryParse(text.AsSpan(at + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long size))
            {
                throw new UsageException($"{Name} '{text}' is not of the form name=number");
            }

            sizes[text[..at]] = size;
        }

        return sizes;
    }

    /// <summary>Sizes as words of a command line.</summary>
    public static IEnumerable<string> Words(IReadOnlyDictionary<string, long> sizes) =>
        sizes.OrderBy(s => s.Key, StringComparer.Ordinal).SelectMany(s => new[] { Name, string.Create(CultureInfo.InvariantCulture, $"{s.Key}={s.Value}") });
}
