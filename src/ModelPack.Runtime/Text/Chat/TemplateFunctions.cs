namespace ModelPack.Runtime.Text;

/// <summary>A function, filter, test or method: what it is applied to, and its arguments.</summary>
internal delegate object? TemplateFunction(object? input, EvaluatedArguments arguments);

/// <summary>Arguments as written.</summary>
internal sealed class TemplateArguments(IReadOnlyList<TemplateExpression> given, IReadOnlyList<(string Name, TemplateExpression Value)> named)
{
    public static TemplateArguments None { get; } = new([], []);

    public EvaluatedArguments Evaluate(TemplateScope scope)
    {
        var values = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach ((string name, TemplateExpression value) in named)
        {
            values[name] = value(scope);
        }

        return new EvaluatedArguments([.. given.Select(g => g(scope))], values);
    }
}

/// <summary>Arguments with their values.</summary>
internal sealed record EvaluatedArguments(object?[] Given, Dictionary<string, object?> Named)
{
    public object? this[int index] => index < Given.Length ? Given[index] : throw ChatTemplate.Error($"a call lacks argument {index + 1}");

    public string? Text(int index) => index < Given.Length ? this[index] as string : null;
}

/// <summary>The functions that templates may use, by name; an unknown one is an error when the template is read.</summary>
internal static class TemplateFunctions
{
    /// <exception cref="ModelPackException">MP5035: there is none of this name.</exception>
    public static TemplateFunction Global(string name, int at) => name switch
    {
        "raise_exception" => (_, a) => throw ChatTemplate.Error($"refuses the messages: {TemplateValues.Text(a[0])}"),
        "namespace" or "dict" => (_, a) => new Dictionary<string, object?>(a.Named, StringComparer.Ordinal),
        "range" => (_, a) => Range(a),
        _ => throw ChatTemplate.Error($"the function '{name}' is not understood", at),
    };

    /// <exception cref="ModelPackException">MP5035: there is none of this name.</exception>
    public static TemplateFunction Filter(string name, int at) => name switch
    {
        "trim" => (v, _) => Text(v).Trim(),
        "upper" => (v, _) => Text(v).ToUpperInvariant(),
        "lower" => (v, _) => Text(v).ToLowerInvariant(),
        "string" => (v, _) => TemplateValues.Text(v),
        "safe" => (v, _) => v,
        "length" or "count" => (v, _) => v is string text ? text.Length : (long)TemplateValues.Items(v).Count(),
        "list" => (v, _) => TemplateValues.Items(v).ToList(),
        "first" => (v, _) => TemplateValues.Items(v).FirstOrDefault(Undefined.Value),
        "last" => (v, _) => TemplateValues.Items(v).LastOrDefault(Undefined.Value),
        "join" => (v, a) => string.Join(a.Text(0) ?? "", TemplateValues.Items(v).Select(TemplateValues.Text)),
        "replace" => (v, a) => Text(v).Replace(Text(a[0]), Text(a[1]), StringComparison.Ordinal),
        "default" => (v, a) => v is Undefined || (a.Given.Length > 1 && TemplateValues.IsTrue(a[1]) && !TemplateValues.IsTrue(v)) ? a[0] : v,
        "tojson" => (v, a) => a.Named.Count == 0 && a.Given.Length == 0 ? TemplateValues.Json(v) : throw ChatTemplate.Error("tojson with arguments"),
        "items" => (v, _) => Pairs(v),
        _ => throw ChatTemplate.Error($"the filter '{name}' is not understood", at),
    };

    /// <exception cref="ModelPackException">MP5035: there is none of this name.</exception>
    public static TemplateFunction Test(string name, int at) => name switch
    {
        "defined" => (v, _) => v is not Undefined,
        "undefined" => (v, _) => v is Undefined,
        "none" => (v, _) => v is null,
        "string" => (v, _) => v is string,
        "number" => (v, _) => v is long or double,
        "mapping" => (v, _) => v is Dictionary<string, object?>,
        "iterable" or "sequence" => (v, _) => v is string or List<object?> or Dictionary<string, object?>,
        "boolean" => (v, _) => v is bool,
        "true" => (v, _) => v is true,
        "false" => (v, _) => v is false,
        "equalto" or "eq" => (v, a) => TemplateValues.AreEqual(v, a[0]),
        "odd" => (v, _) => v is long number && number % 2 != 0,
        "even" => (v, _) => v is long number && number % 2 == 0,
        _ => throw ChatTemplate.Error($"the test '{name}' is not understood", at),
    };

    /// <exception cref="ModelPackException">MP5035: there is none of this name.</exception>
    public static TemplateFunction Method(string name, int at) => name switch
    {
        "strip" => (v, a) => a.Text(0) is string set ? Text(v).Trim(set.ToCharArray()) : Text(v).Trim(),
        "lstrip" => (v, a) => a.Text(0) is string set ? Text(v).TrimStart(set.ToCharArray()) : Text(v).TrimStart(),
        "rstrip" => (v, a) => a.Text(0) is string set ? Text(v).TrimEnd(set.ToCharArray()) : Text(v).TrimEnd(),
        "startswith" => (v, a) => Text(v).StartsWith(Text(a[0]), StringComparison.Ordinal),
        "endswith" => (v, a) => Text(v).EndsWith(Text(a[0]), StringComparison.Ordinal),
        "split" => (v, a) => Text(v).Split(Text(a[0])).Select(p => (object?)p).ToList(),
        "replace" => (v, a) => Text(v).Replace(Text(a[0]), Text(a[1]), StringComparison.Ordinal),
        "upper" => (v, _) => Text(v).ToUpperInvariant(),
        "lower" => (v, _) => Text(v).ToLowerInvariant(),
        "join" => (v, a) => string.Join(Text(v), TemplateValues.Items(a[0]).Select(TemplateValues.Text)),
        "items" => (v, _) => Pairs(v),
        "keys" => (v, _) => TemplateValues.Items(v).ToList(),
        "get" => (v, a) => TemplateValues.Item(v, a[0]) is var found && found is Undefined ? (a.Given.Length > 1 ? a[1] : null) : found,
        _ => throw ChatTemplate.Error($"the method '{name}' is not understood", at),
    };

    private static string Text(object? value) => value as string ?? throw ChatTemplate.Error($"{TemplateValues.Kind(value)} where a text is needed");

    private static List<object?> Pairs(object? value) => value is Dictionary<string, object?> map
        ? [.. map.Select(p => (object?)new List<object?> { p.Key, p.Value })]
        : throw ChatTemplate.Error($"items of {TemplateValues.Kind(value)}");

    private static List<object?> Range(EvaluatedArguments arguments)
    {
        const int most = 1 << 20;
        long Number(int index) => arguments[index] as long? ?? throw ChatTemplate.Error("range of something that is no whole number");
        (long from, long to, long step) = arguments.Given.Length switch { 1 => (0, Number(0), 1), 2 => (Number(0), Number(1), 1), _ => (Number(0), Number(1), Number(2)) };
        var list = new List<object?>();
        for (long i = from; step != 0 && (step > 0 ? i < to : i > to); i += step)
        {
            list.Add(list.Count < most ? i : throw ChatTemplate.Error($"a range of more than {most} numbers"));
        }

        return list;
    }
}
