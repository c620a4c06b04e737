namespace ModelPack.EndToEnd.Tests.Readme;

/// <summary>Fenced code blocks of a Markdown file.</summary>
internal static class MarkdownBlocks
{
    /// <summary>The blocks marked with a language, in order, without their fences.</summary>
    public static IReadOnlyList<string> Of(string markdown, string language)
    {
        var blocks = new List<string>();
        List<string>? open = null;
        bool wanted = false;
        foreach (string line in markdown.Split('\n'))
        {
            if (!line.StartsWith("```", StringComparison.Ordinal))
            {
                open?.Add(line);
            }
            else if (open is null)
            {
                (open, wanted) = ([], line[3..].Trim() == language);
            }
            else
            {
                if (wanted)
                {
                    blocks.Add(string.Join('\n', open));
                }

                open = null;
            }
        }

        return open is null ? blocks : throw new FormatException("a code block is not closed");
    }

    /// <summary>The commands of a shell block: continued lines joined, comments and empty lines left out.</summary>
    public static IReadOnlyList<string> Commands(string block) =>
    [
        .. block.Replace("\\\n", " ", StringComparison.Ordinal).Split('\n')
            .Select(l => l.Trim())
            .Where(l => l.Length > 0 && l[0] != '#'),
    ];
}
