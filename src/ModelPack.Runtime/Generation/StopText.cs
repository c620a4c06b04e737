namespace ModelPack.Runtime.Generation;

/// <summary>Finds stop strings in text that comes in pieces, holding back what may be the beginning of one.</summary>
internal sealed class StopText(IReadOnlyList<string> stops)
{
    private string _held = "";

    /// <summary>True once a stop string has appeared: what came before it has been given out, it and the rest have not.</summary>
    public bool Found { get; private set; }

    /// <summary>Takes the next piece and gives what is certain not to belong to a stop string.</summary>
    public string Append(string piece)
    {
        string text = _held + piece;
        int end = stops.Select(s => text.IndexOf(s, StringComparison.Ordinal)).Where(i => i >= 0).DefaultIfEmpty(-1).Min();
        if (end >= 0)
        {
            Found = true;
            _held = "";
            return text[..end];
        }

        int certain = text.Length - stops.Select(s => Overlap(text, s)).DefaultIfEmpty(0).Max();
        _held = text[certain..];
        return text[..certain];
    }

    /// <summary>What was held back, when no more text comes.</summary>
    public string Finish() => _held;

    /// <summary>Length of the longest end of the text that a stop string begins with.</summary>
    private static int Overlap(string text, string stop)
    {
        for (int n = Math.Min(text.Length, stop.Length - 1); n > 0; n--)
        {
            if (text.AsSpan(text.Length - n).SequenceEqual(stop.AsSpan(0, n)))
            {
                return n;
            }
        }

        return 0;
    }
}
