using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>A piece of a template: plain text, or a token inside <c>{{ }}</c> or <c>{% %}</c>.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Text">Its text; of strings, what they stand for.</param>
/// <param name="At">Where it is in the template.</param>
internal readonly record struct TemplateToken(TokenKind Kind, string Text, int At);

internal enum TokenKind
{
    Text,
    BeginExpression,
    EndExpression,
    BeginStatement,
    EndStatement,
    Name,
    Literal,
    Number,
    Operator,
    End,
}

/// <summary>Cuts a template into tokens, with <c>trim_blocks</c> and <c>lstrip_blocks</c> as transformers sets them.</summary>
internal static class TemplateLexer
{
    private static readonly string[] Operators = ["**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "|"];

    /// <exception cref="ModelPackException">MP5035.</exception>
    public static List<TemplateToken> Read(string template)
    {
        var tokens = new List<TemplateToken>();
        string text = template.EndsWith('\n') ? template[..^1] : template;
        int at = 0;
        bool stripNext = false;
        bool afterBlock = false;
        while (at < text.Length)
        {
            int open = Next(text, at);
            string plain = text[at..(open < 0 ? text.Length : open)];
            if (stripNext)
            {
                plain = plain.TrimStart();
            }
            else if (afterBlock && plain.StartsWith('\n'))
            {
                plain = plain[1..];
            }

            char kind = open < 0 ? '\0' : text[open + 1];
            char mark = open < 0 || open + 2 >= text.Length ? '\0' : text[open + 2];
            if (mark == '-')
            {
                plain = plain.TrimEnd();
            }
            else if (kind is '%' or '#' && mark != '+')
            {
                // Only where nothing but white space stands between the line's beginning and the statement.
                int line = open;
                while (line > 0 && (text[line - 1] is ' ' or '\t'))
                {
                    line--;
                }

                plain = line == 0 || text[line - 1] == '\n' ? plain.TrimEnd(' ', '\t') : plain;
            }

            if (plain.Length > 0)
            {
                tokens.Add(new TemplateToken(TokenKind.Text, plain, at));
            }

            if (open < 0)
            {
                break;
            }

            int start = open + (mark is '-' or '+' ? 3 : 2);
            at = kind == '#' ? Comment(text, open, out stripNext) : Inside(text, open, start, kind, tokens, out stripNext);
            afterBlock = kind is '%' or '#';
        }

        tokens.Add(new TemplateToken(TokenKind.End, "", text.Length));
        return tokens;
    }

    private static int Next(string text, int from)
    {
        for (int i = from; i + 1 < text.Length; i++)
        {
            if (text[i] == '{' && (text[i + 1] is '{' or '%' or '#'))
            {
                return i;
            }
        }

        return -1;
    }

    private static int Comment(string text, int open, out bool strip)
    {
        int close = text.IndexOf("#}", open + 2, StringComparison.Ordinal);
        strip = close > 0 && text[close - 1] == '-';
        return close < 0 ? throw ChatTemplate.Error("a comment does not end", open) : close + 2;
    }

    private static int Inside(string text, int open, int at, char kind, List<TemplateToken> tokens, out bool strip)
    {
        bool expression = kind == '{';
        tokens.Add(new TemplateToken(expression ? TokenKind.BeginExpression : TokenKind.BeginStatement, "", open));
        string close = expression ? "}}" : "%}";
        int depth = 0;
        while (true)
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
            {
                at++;
            }

            if (at >= text.Length)
            {
                throw ChatTemplate.Error($"'{text.Substring(open, 2)}' does not end", open);
            }

            strip = text[at] == '-' && string.CompareOrdinal(text, at + 1, close, 0, 2) == 0;
            if (depth == 0 && (strip || string.CompareOrdinal(text, at, close, 0, 2) == 0))
            {
                tokens.Add(new TemplateToken(expression ? TokenKind.EndExpression : TokenKind.EndStatement, "", at));
                return at + (strip ? 3 : 2);
            }

            TemplateToken token = Token(text, at, out int next);
            depth += token is { Kind: TokenKind.Operator, Text: "{" } ? 1 : token is { Kind: TokenKind.Operator, Text: "}" } ? -1 : 0;
            tokens.Add(token);
            at = next;
        }
    }

    private static TemplateToken Token(string text, int at, out int next)
    {
        char c = text[at];
        next = at + 1;
        if (char.IsLetter(c) || c == '_')
        {
            while (next < text.Length && (char.IsLetterOrDigit(text[next]) || text[next] == '_'))
            {
                next++;
            }

            return new TemplateToken(TokenKind.Name, text[at..next], at);
        }

        if (char.IsAsciiDigit(c))
        {
            while (next < text.Length && (char.IsAsciiDigit(text[next]) || (text[next] == '.' && next + 1 < text.Length && char.IsAsciiDigit(text[next + 1]))))
            {
                next++;
            }

            return new TemplateToken(TokenKind.Number, text[at..next], at);
        }

        if (c is '\'' or '"')
        {
            return Literal(text, at, out next);
        }

        string? found = Array.Find(Operators, o => string.CompareOrdinal(text, at, o, 0, o.Length) == 0);
        next = at + (found?.Length ?? 0);
        return found is null ? throw ChatTemplate.Error($"'{c}' is not understood", at) : new TemplateToken(TokenKind.Operator, found, at);
    }

    private static TemplateToken Literal(string text, int at, out int next)
    {
        var value = new StringBuilder();
        for (next = at + 1; next < text.Length && text[next] != text[at]; next++)
        {
            if (text[next] != '\\' || next + 1 == text.Length)
            {
                value.Append(text[next]);
                continue;
            }

            next++;
            value.Append(text[next] switch
            {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '\\' or '\'' or '"' => text[next],
                char other => throw ChatTemplate.Error($"'\\{other}' in a string", next),
            });
        }

        if (next >= text.Length)
        {
            throw ChatTemplate.Error("a string does not end", at);
        }

        next++;
        return new TemplateToken(TokenKind.Literal, value.ToString(), at);
    }
}
