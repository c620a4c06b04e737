namespace ModelPack.Runtime.Text;

/// <summary>A token that is found in the text as it stands, before the text is taken apart into words.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">Its text.</param>
/// <param name="Special">Control token: not part of decoded text.</param>
/// <param name="StripLeft">White space before it belongs to it.</param>
/// <param name="StripRight">White space after it belongs to it.</param>
/// <param name="Normalized">Found in the normalized text instead of the original.</param>
internal sealed record AddedToken(int Id, string Content, bool Special, bool StripLeft, bool StripRight, bool Normalized);

/// <summary>Cuts text at added tokens: the leftmost one, of several there the longest.</summary>
internal sealed class AddedTokenFinder
{
    private readonly Dictionary<char, AddedToken[]> _byFirst;

    public AddedTokenFinder(IEnumerable<AddedToken> tokens) => _byFirst = tokens
        .GroupBy(t => t.Content[0])
        .ToDictionary(g => g.Key, g => g.OrderByDescending(t => t.Content.Length).ToArray());

    /// <summary>The pieces of a text in order: either an added token or text between them, never empty.</summary>
    public IEnumerable<(AddedToken? Token, string Text)> Split(string text)
    {
        int done = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (At(text, i) is not AddedToken token)
            {
                continue;
            }

            int start = i;
            int end = i + token.Content.Length;
            while (token.StripLeft && start > done && char.IsWhiteSpace(text[start - 1]))
            {
                start--;
            }

            while (token.StripRight && end < text.Length && char.IsWhiteSpace(text[end]))
            {
                end++;
            }

            if (start > done)
            {
                yield return (null, text[done..start]);
            }

            yield return (token, "");
            done = end;
            i = end - 1;
        }

        if (done < text.Length)
        {
            yield return (null, text[done..]);
        }
    }

    private AddedToken? At(string text, int index) => _byFirst.TryGetValue(text[index], out AddedToken[]? candidates)
        ? Array.Find(candidates, t => string.CompareOrdinal(text, index, t.Content, 0, t.Content.Length) == 0)
        : null;
}

/// <summary>The added tokens of a tokenizer, found where each belongs: in the text as it stands, or in what is left of it once that is normalized.</summary>
internal sealed class AddedTokens
{
    private readonly AddedTokenFinder _original;
    private readonly AddedTokenFinder _normalized;
    private readonly Func<string, string> _normalize;

    /// <param name="tokens">The tokens. Those of the normalized text are looked for as they are themselves when normalized, as Hugging Face's library does; of which nothing is left then, they are never found.</param>
    /// <param name="normalize">Brings text into the form that the vocabulary knows.</param>
    public AddedTokens(IEnumerable<AddedToken> tokens, Func<string, string> normalize)
    {
        ILookup<bool, AddedToken> byPlace = tokens.ToLookup(t => t.Normalized);
        _original = new AddedTokenFinder(byPlace[false]);
        _normalized = new AddedTokenFinder(byPlace[true].Select(t => t with { Content = normalize(t.Content) }).Where(t => t.Content.Length > 0));
        _normalize = normalize;
    }

    /// <summary>Adds the ids of a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="ids">Get those of added tokens.</param>
    /// <param name="words">Adds those of normalized text between added tokens; told whether the text begins with it.</param>
    public void Encode(string text, List<int> ids, Action<string, bool> words)
    {
        bool first = true;
        foreach ((AddedToken? token, string piece) in _original.Split(text))
        {
            if (token is not null)
            {
                ids.Add(token.Id);
                first = false;
                continue;
            }

            foreach ((AddedToken? inner, string between) in _normalized.Split(_normalize(piece)))
            {
                if (inner is not null)
                {
                    ids.Add(inner.Id);
                }
                else
                {
                    words(between, first);
                }

                first = false;
            }

            first = false;
        }
    }
}
