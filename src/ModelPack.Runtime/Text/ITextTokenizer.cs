using System.Collections.Immutable;

namespace ModelPack.Runtime.Text;

/// <summary>What an encoder needs of a tokenizer.</summary>
internal interface ITextTokenizer
{
    /// <summary>Put in front of every text.</summary>
    ImmutableArray<int> Prefix { get; }

    /// <summary>Put behind every text.</summary>
    ImmutableArray<int> Suffix { get; }

    /// <summary>The ids of a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="around">With <see cref="Prefix"/> and <see cref="Suffix"/>.</param>
    ImmutableArray<int> Encode(string text, bool around);
}
