using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using System.Text;

namespace ModelPack;

/// <summary>
/// A number format, structure or codec with its arguments, as written in recipes, artifacts and <c>inspect</c>:
/// <c>int4(block=32,scale=f16)</c>. Arguments are kept sorted, so equal specs have equal text.
/// </summary>
public sealed record UnitSpec
{
    /// <summary>Longest text form: a palette of 256 values takes 2,048 digits.</summary>
    private const int MaxText = 4096;

    private static readonly SearchValues<char> IdCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789_.-");

    public UnitSpec(string id, params ReadOnlySpan<(string Key, string Value)> arguments)
    {
        Id = id;
        var builder = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        foreach ((string key, string value) in arguments)
        {
            builder[key] = value;
        }

        Arguments = builder.ToImmutable();
    }

    private UnitSpec(string id, ImmutableSortedDictionary<string, string> arguments)
    {
        Id = id;
        Arguments = arguments;
    }

    /// <summary>The unit's registered name, lower case.</summary>
    public string Id { get; }

    /// <summary>Arguments by name, ordinal order.</summary>
    public ImmutableSortedDictionary<string, string> Arguments { get; }

    /// <summary>Parses the text form. Ids are <c>[a-z0-9_.-]+</c>; argument values may not contain <c>, ( ) = &gt;</c>.</summary>
    /// <exception cref="ModelPackException">MP1022: the text is not of that form.</exception>
    public static UnitSpec Parse(string text)
    {
        int open = text.IndexOf('(', StringComparison.Ordinal);
        string id = open < 0 ? text : text[..open];
        if (id.Length is 0 or > 64 || id.AsSpan().ContainsAnyExcept(IdCharacters))
        {
            throw Bad(text);
        }

        if (open < 0)
        {
            return new UnitSpec(id);
        }

        if (text[^1] != ')' || text.Length > MaxText)
        {
            throw Bad(text);
        }

        var arguments = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        string inner = text[(open + 1)..^1];
        foreach (string part in inner.Length == 0 ? [] : inner.Split(','))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0 || part.AsSpan(equals + 1).ContainsAny("()=> ") || arguments.ContainsKey(part[..equals]))
            {
                throw Bad(text);
            }

            arguments.Add(part[..equals], part[(equals + 1)..]);
        }

        return new UnitSpec(id, arguments.ToImmutable());
    }

    /// <summary>The same unit with one argument added or replaced.</summary>
    public UnitSpec With(string key, string value) =>
        new(Id, Arguments.SetItem(key, value));

    /// <summary>The value of <paramref name="key"/>, or <paramref name="fallback"/> when absent.</summary>
    public string Text(string key, string fallback) => Arguments.TryGetValue(key, out string? value) ? value : fallback;

    /// <summary>An integer argument within a range.</summary>
    /// <exception cref="ModelPackException">MP1022: not an integer in the range.</exception>
    public int Int(string key, int fallback, int min, int max)
    {
        if (!Arguments.TryGetValue(key, out string? text))
        {
            return fallback;
        }

        return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= min && value <= max
            ? value
            : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': {key}={text} is not an integer from {min} to {max}");
    }

    /// <summary>A true/false argument.</summary>
    /// <exception cref="ModelPackException">MP1022: neither <c>true</c> nor <c>false</c>.</exception>
    public bool Flag(string key, bool fallback) => Text(key, fallback ? "true" : "false") switch
    {
        "true" => true,
        "false" => false,
        string other => throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': {key}={other} is neither true nor false"),
    };

    /// <summary>Rejects arguments that are not in <paramref name="known"/>: a typo must not silently mean the default.</summary>
    /// <exception cref="ModelPackException">MP1022: an unknown argument.</exception>
    public void AllowOnly(params ReadOnlySpan<string> known)
    {
        foreach (string key in Arguments.Keys)
        {
            if (!known.Contains(key))
            {
                throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}' has no argument '{key}'; it has: {(known.IsEmpty ? "none" : string.Join(", ", known.ToArray()))}");
            }
        }
    }

    /// <summary>A description of an encoding for people: hexadecimal digits that go on for more than a few words are cut short.</summary>
    public static string Shorten(string description)
    {
        const int longest = 32;
        const int kept = 12;
        var text = new StringBuilder();
        int start = 0;
        while (start < description.Length)
        {
            int end = start;
            while (end < description.Length && char.IsAsciiHexDigitLower(description[end]))
            {
                end++;
            }

            text.Append(end - start > longest ? string.Concat(description.AsSpan(start, kept), "...") : description.AsSpan(start, end - start));
            start = end;
            if (start < description.Length)
            {
                text.Append(description[start++]);
            }
        }

        return text.ToString();
    }

    public bool Equals(UnitSpec? other) => other is not null && ToString() == other.ToString();

    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);

    public override string ToString()
    {
        if (Arguments.IsEmpty)
        {
            return Id;
        }

        var text = new StringBuilder(Id).Append('(');
        foreach ((string key, string value) in Arguments)
        {
            text.Append(text[^1] == '(' ? "" : ",").Append(key).Append('=').Append(value);
        }

        return text.Append(')').ToString();
    }

    private static ModelPackException Bad(string text) =>
        new(ErrorCodes.BadUnitArgument, $"'{text}' is not of the form name(key=value,...)");
}
