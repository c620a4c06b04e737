using System.Collections.Immutable;

namespace ModelPack.Runtime.Text;

/// <summary>What a tokenizer.json comes to.</summary>
internal sealed record TokenizerParts
{
    public required ImmutableArray<AddedToken> Added { get; init; }

    /// <summary>Brings text into the form that the vocabulary knows.</summary>
    public required Func<string, string> Normalize { get; init; }

    public required ImmutableArray<WordStep> Steps { get; init; }

    /// <summary>Steps for a piece with which the text begins, where they are others; null where not.</summary>
    public ImmutableArray<WordStep>? FirstSteps { get; init; }

    /// <summary>The vocabulary is one of characters; null: of bytes.</summary>
    public CharacterForm? Characters { get; init; }

    /// <summary>Tokens of the vocabulary by id, in the byte alphabet, or in characters.</summary>
    public required IReadOnlyDictionary<int, string> Tokens { get; init; }

    /// <summary>Ids of single bytes; -1 for bytes that no UTF-8 text contains.</summary>
    public required ImmutableArray<int> ByteIds { get; init; }

    public required MergeTable Merges { get; init; }

    /// <summary>The vocabulary, where words in it are taken without merging (<c>ignore_merges</c>); null otherwise.</summary>
    public required IReadOnlyDictionary<string, int>? WholeWords { get; init; }

    /// <summary>Put in front of every text.</summary>
    public required ImmutableArray<int> Prefix { get; init; }

    /// <summary>Put behind every text.</summary>
    public required ImmutableArray<int> Suffix { get; init; }
}
