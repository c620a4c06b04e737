using System.Globalization;
using System.Text;

namespace ModelPack.Toolchain;

/// <summary>Names of C# for names of models: every name once, and the same names always give the same.</summary>
/// <param name="taken">Names that are in use already.</param>
internal sealed class Identifiers(params IEnumerable<string> taken)
{
    private static readonly HashSet<string> Keywords = new(StringComparer.Ordinal)
    {
        "abstract", "as", "base", "bool", "break", "byte", "case", "catch", "char", "checked", "class", "const", "continue", "decimal", "default", "delegate", "do", "double", "else", "enum", "event",
        "explicit", "extern", "false", "finally", "fixed", "float", "for", "foreach", "goto", "if", "implicit", "in", "int", "interface", "internal", "is", "lock", "long", "namespace", "new", "null",
        "object", "operator", "out", "override", "params", "private", "protected", "public", "readonly", "ref", "return", "sbyte", "sealed", "short", "sizeof", "stackalloc", "static", "string",
        "struct", "switch", "this", "throw", "true", "try", "typeof", "uint", "ulong", "unchecked", "unsafe", "ushort", "using", "virtual", "void", "volatile", "while",
    };

    private readonly HashSet<string> _taken = new(taken, StringComparer.Ordinal);

    /// <summary>For a member: <c>input_ids</c> gives <c>InputIds</c>.</summary>
    public string Member(string name) => Unique(Words(name, upper: true));

    /// <summary>For a parameter: <c>input_ids</c> gives <c>inputIds</c>.</summary>
    public string Parameter(string name)
    {
        string unique = Unique(Words(name, upper: false));
        return Keywords.Contains(unique) ? "@" + unique : unique;
    }

    /// <summary>Whether a text is one name, or several with dots between, that C# takes as it is.</summary>
    public static bool IsQualifiedName(string text) =>
        text.Split('.').All(part => part.Length > 0 && (char.IsLetter(part[0]) || part[0] == '_') && part.All(c => char.IsLetterOrDigit(c) || c == '_') && !Keywords.Contains(part));

    private static string Words(string name, bool upper)
    {
        var text = new StringBuilder();
        bool starts = upper;
        foreach (char c in name)
        {
            if (!char.IsAsciiLetterOrDigit(c))
            {
                starts = upper || text.Length > 0;
                continue;
            }

            text.Append(starts ? char.ToUpperInvariant(c) : text.Length == 0 ? char.ToLowerInvariant(c) : c);
            starts = false;
        }

        return text.Length == 0 ? (upper ? "Value" : "value") : char.IsAsciiDigit(text[0]) ? "_" + text : text.ToString();
    }

    private string Unique(string name)
    {
        string unique = name;
        for (int i = 2; !_taken.Add(unique); i++)
        {
            unique = name + i.ToString(CultureInfo.InvariantCulture);
        }

        return unique;
    }
}
