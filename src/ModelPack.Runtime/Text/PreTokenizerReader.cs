using System.Collections.Immutable;
using System.Text.RegularExpressions;

namespace ModelPack.Runtime.Text;

/// <summary>Reads the section <c>pre_tokenizer</c>.</summary>
internal static class PreTokenizerReader
{
    /// <summary>The steps for vocabularies of characters: none, Metaspace, or splits.</summary>
    /// <param name="section">The section; null for none.</param>
    /// <param name="first">Whether the piece begins the text.</param>
    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static ImmutableArray<WordStep> ReadCharacters(Json? section, bool first)
    {
        if (section is null)
        {
            return [];
        }

        IReadOnlyList<Json> steps = section.Get("type").Text() == "Sequence" ? section.Get("pretokenizers").Items() : [section];
        return [.. steps.Select(s => s.Get("type").Text() == "Metaspace" ? Metaspace(s, first) : Step(s, last: false))];
    }

    private static WordStep Metaspace(Json step, bool first)
    {
        if (step.Find("replacement")?.Text() is string other && other != CharacterForm.Space.ToString())
        {
            throw Json.NotSupported($"pre_tokenizer: Metaspace with replacement '{other}'");
        }

        bool prepend = step.Find("prepend_scheme")?.Text() switch
        {
            null => step.Flag("add_prefix_space", true),
            "always" => true,
            "first" => first,
            "never" => false,
            string scheme => throw Json.NotSupported($"pre_tokenizer: Metaspace with prepend_scheme '{scheme}'"),
        };
        return WordSteps.Metaspace(prepend, step.Flag("split", true));
    }

    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static ImmutableArray<WordStep> Read(Json? section)
    {
        if (section is null)
        {
            throw Json.NotSupported("a tokenizer without a pre_tokenizer; only byte-level ones are");
        }

        IReadOnlyList<Json> steps = section.Get("type").Text() == "Sequence" ? section.Get("pretokenizers").Items() : [section];
        if (steps.Count == 0 || steps[^1].Get("type").Text() != "ByteLevel")
        {
            throw Json.NotSupported($"pre_tokenizer of type '{(steps.Count == 0 ? section : steps[^1]).Get("type").Text()}'; only those that end with ByteLevel are");
        }

        return [.. steps.Select((s, i) => Step(s, i == steps.Count - 1))];
    }

    private static WordStep Step(Json step, bool last) => step.Get("type").Text() switch
    {
        "ByteLevel" when last => WordSteps.ByteLevel(step.Flag("add_prefix_space", true), step.Flag("use_regex", true)),
        "Split" => Split(step),
        "WhitespaceSplit" => WordSteps.WhiteSpace(),
        "Digits" => WordSteps.Digits(step.Flag("individual_digits", false)),
        string type => throw Json.NotSupported($"pre_tokenizer of type '{type}' in this place"),
    };

    private static WordStep Split(Json step)
    {
        Json pattern = step.Get("pattern");
        var regex = new WordPattern(pattern.Find("Regex")?.Text() ?? Regex.Escape(pattern.Get("String").Text()));
        bool invert = step.Flag("invert", false);
        return step.Get("behavior").Text() switch
        {
            "Isolated" => WordSteps.Isolate(regex),
            "MergedWithPrevious" when !invert => WordSteps.MergeWithPrevious(regex),
            "Removed" => WordSteps.Remove(regex, keepMatches: invert),
            string behavior => throw Json.NotSupported($"pre_tokenizer: Split with behavior '{behavior}'"),
        };
    }
}
