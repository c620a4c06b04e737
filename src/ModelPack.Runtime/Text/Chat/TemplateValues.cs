using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ModelPack.Runtime.Text;

/// <summary>Computes the value of an expression.</summary>
internal delegate object? TemplateExpression(TemplateScope scope);

/// <summary>Python's values as templates use them: null, bool, long, double, string, lists and dictionaries.</summary>
internal static class TemplateValues
{
    public static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        List<object?> list => list.Count > 0,
        Dictionary<string, object?> map => map.Count > 0,
        _ => true,
    };

    public static string Text(object? value) => value switch
    {
        Undefined => "",
        null => "None",
        bool flag => flag ? "True" : "False",
        long number => number.ToString(CultureInfo.InvariantCulture),
        string text => text,
        _ => throw ChatTemplate.Error($"writes {Kind(value)}; only text and whole numbers are written"),
    };

    public static IEnumerable<object?> Items(object? value) => value switch
    {
        Undefined => [],
        List<object?> list => list,
        Dictionary<string, object?> map => map.Keys,
        string text => text.Select(c => (object?)c.ToString()),
        _ => throw ChatTemplate.Error($"goes through {Kind(value)}"),
    };

    public static bool AreEqual(object? a, object? b) => (a, b) switch
    {
        (long x, double y) => x == y,
        (double x, long y) => x == y,
        (List<object?> x, List<object?> y) => x.Count == y.Count && x.Zip(y).All(p => AreEqual(p.First, p.Second)),
        _ => Equals(a, b),
    };

    public static bool Contains(object? whole, object? part) => whole switch
    {
        string text when part is string piece => text.Contains(piece, StringComparison.Ordinal),
        List<object?> list => list.Exists(i => AreEqual(i, part)),
        Dictionary<string, object?> map => part is string key && map.ContainsKey(key),
        Undefined => false,
        _ => throw ChatTemplate.Error($"asks whether {Kind(part)} is in {Kind(whole)}"),
    };

    public static int Compare(object? a, object? b) => (a, b) switch
    {
        (long x, long y) => x.CompareTo(y),
        (string x, string y) => string.CompareOrdinal(x, y),
        (long or double, long or double) => Convert.ToDouble(a, CultureInfo.InvariantCulture).CompareTo(Convert.ToDouble(b, CultureInfo.InvariantCulture)),
        _ => throw ChatTemplate.Error($"compares {Kind(a)} with {Kind(b)}"),
    };

    public static object? Item(object? value, object? key) => (value, key) switch
    {
        (Dictionary<string, object?> map, string name) => map.TryGetValue(name, out object? found) ? found : Undefined.Value,
        (List<object?> list, long index) => Index(list.Count, index) is int at ? list[at] : Undefined.Value,
        (string text, long index) => Index(text.Length, index) is int at ? text[at].ToString() : Undefined.Value,
        (Undefined, _) => throw ChatTemplate.Error($"asks for '{key}' of something that is not there"),
        _ => Undefined.Value,
    };

    public static object? Slice(object? value, long? from, long? to, long step)
    {
        List<object?> items = value is string text ? [.. text.Select(c => (object?)c)] : value is List<object?> list ? list : throw ChatTemplate.Error($"cuts {Kind(value)}");
        int count = items.Count;
        long At(long? index, long fallback) => index is not long i ? fallback : Math.Clamp(i < 0 ? i + count : i, step < 0 ? -1 : 0, step < 0 ? count - 1 : count);
        var result = new List<object?>();
        for (long i = At(from, step < 0 ? count - 1 : 0), end = At(to, step < 0 ? -1 : count); step != 0 && (step < 0 ? i > end : i < end); i += step)
        {
            result.Add(items[(int)i]);
        }

        return step == 0 ? throw ChatTemplate.Error("cuts in steps of 0") : value is string ? string.Concat(result) : result;
    }

    public static object? Arithmetic(string op, object? a, object? b) => (op, a, b) switch
    {
        ("+", string x, string y) => x + y,
        ("+", List<object?> x, List<object?> y) => new List<object?>([.. x, .. y]),
        ("+", long x, long y) => x + y,
        ("-", long x, long y) => x - y,
        ("*", long x, long y) => x * y,
        ("//", long x, long y) when y != 0 => (long)Math.Floor((double)x / y),
        ("%", long x, long y) when y != 0 => ((x % y) + y) % y,
        _ => throw ChatTemplate.Error($"computes {Kind(a)} {op} {Kind(b)}"),
    };

    /// <summary>As Python's json.dumps with its separators.</summary>
    public static string Json(object? value)
    {
        var text = new StringBuilder();
        Append(value);
        return text.ToString();

        void Append(object? item)
        {
            switch (item)
            {
                case null:
                    text.Append("null");
                    break;
                case bool flag:
                    text.Append(flag ? "true" : "false");
                    break;
                case string s:
                    text.Append('"').Append(JsonEncodedText.Encode(s, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)).Append('"');
                    break;
                case List<object?> list:
                    text.Append('[');
                    for (int i = 0; i < list.Count; i++)
                    {
                        text.Append(i > 0 ? ", " : "");
                        Append(list[i]);
                    }

                    text.Append(']');
                    break;
                case Dictionary<string, object?> map:
                    text.Append('{');
                    foreach ((string key, object? inner) in map)
                    {
                        text.Append(text[^1] == '{' ? "" : ", ");
                        Append(key);
                        text.Append(": ");
                        Append(inner);
                    }

                    text.Append('}');
                    break;
                default:
                    text.Append(Text(item));
                    break;
            }
        }
    }

    public static string Kind(object? value) => value switch
    {
        null => "none",
        Undefined => "something that is not there",
        bool => "a truth value",
        long or double => "a number",
        string => "a text",
        List<object?> => "a list",
        Dictionary<string, object?> => "a dictionary",
        _ => "a function",
    };

    private static int? Index(int count, long index) => (index < 0 ? index + count : index) is >= 0 and long at && at < count ? (int)at : null;
}
