using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace ModelPack.Compiler;

/// <summary>
/// Number formats that a recipe defines under names of its own. A definition is a format with arguments, or another defined name with more arguments; a name may be used wherever a pass
/// takes a format, and arguments given there replace those of the definition. Resolved recipes hold formats only.
/// </summary>
internal sealed class FormatDefinitions
{
    private readonly ImmutableSortedDictionary<string, string> _texts;
    private readonly string[] _known;
    private readonly Dictionary<string, UnitSpec> _resolved = new(StringComparer.Ordinal);

    /// <exception cref="ModelPackException">MP2106: a definition has no usable name, names no format, or comes back to itself.</exception>
    public FormatDefinitions(ImmutableSortedDictionary<string, string> texts, IReadOnlyList<IPassFactory> catalog)
    {
        _texts = texts;
        _known = [.. catalog.SelectMany(f => f.Options).SelectMany(o => o.Formats ?? []).Distinct(StringComparer.Ordinal)];
        foreach (string name in texts.Keys)
        {
            if (!IsName(name))
            {
                throw Bad(name, "a name has lower-case letters, digits, '_', '.' and '-', at most 64");
            }

            if (_known.Contains(name, StringComparer.Ordinal))
            {
                throw Bad(name, "a number format has that name already");
            }
        }

        foreach (string name in texts.Keys)
        {
            _ = Define(name, []);
        }
    }

    /// <summary>The definitions, resolved.</summary>
    public ImmutableSortedDictionary<string, UnitSpec> All => _resolved.ToImmutableSortedDictionary(StringComparer.Ordinal);

    /// <summary>Options of a pass with defined names replaced by what they stand for.</summary>
    /// <exception cref="ModelPackException">MP2004: neither a format nor a defined name.</exception>
    public JsonObject Replace(IPassFactory factory, JsonObject options)
    {
        var result = new JsonObject();
        foreach ((string key, JsonNode? value) in options)
        {
            PassOption? option = factory.Options.FirstOrDefault(o => o.Name == key);
            result[key] = option?.Formats is not null && value is JsonValue text && text.TryGetValue(out string? format)
                ? JsonValue.Create(Replace(option, format))
                : value?.DeepClone();
        }

        return result;
    }

    /// <summary>A format option's text with a defined name replaced.</summary>
    /// <exception cref="ModelPackException">MP2004.</exception>
    public string Replace(PassOption option, string text)
    {
        int open = text.IndexOf('(', StringComparison.Ordinal);
        string id = open < 0 ? text : text[..open];
        if (_texts.ContainsKey(id))
        {
            try
            {
                return With(_resolved[id], UnitSpec.Parse(text)).ToString();
            }
            catch (ModelPackException e)
            {
                throw new ModelPackException(ErrorCodes.BadPassOption, $"option '{option.Name}': {e.Message}", innerException: e);
            }
        }

        // Other mistakes in the text are for the pass to report.
        return _known.Contains(id, StringComparer.Ordinal) || !IsName(id)
            ? text
            : throw new ModelPackException(ErrorCodes.BadPassOption, $"option '{option.Name}': unknown number format '{id}'{Suggestion.For(id, _known.Concat(_texts.Keys))}");
    }

    private UnitSpec Define(string name, ImmutableList<string> above)
    {
        if (_resolved.TryGetValue(name, out UnitSpec? done))
        {
            return done;
        }

        if (above.Contains(name))
        {
            throw Bad(name, $"it is defined by itself: {string.Join(" -> ", above.Add(name))}");
        }

        UnitSpec spec;
        try
        {
            spec = UnitSpec.Parse(_texts[name]);
        }
        catch (ModelPackException e)
        {
            throw Bad(name, e.Message);
        }

        if (_texts.ContainsKey(spec.Id))
        {
            spec = With(Define(spec.Id, above.Add(name)), spec);
        }
        else if (!_known.Contains(spec.Id, StringComparer.Ordinal))
        {
            throw Bad(name, $"unknown number format '{spec.Id}'{Suggestion.For(spec.Id, _known.Concat(_texts.Keys))}");
        }

        _resolved.Add(name, spec);
        return spec;
    }

    /// <summary>The definition with the arguments of a use.</summary>
    private static UnitSpec With(UnitSpec definition, UnitSpec use) => use.Arguments.Aggregate(definition, (spec, argument) => spec.With(argument.Key, argument.Value));

    private static bool IsName(string text) =>
        text.Length is > 0 and <= 64 && text.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '_' or '.' or '-');

    private static ModelPackException Bad(string name, string detail) => new(ErrorCodes.BadFormatDefinition, $"formats.{name}: {detail}");
}
