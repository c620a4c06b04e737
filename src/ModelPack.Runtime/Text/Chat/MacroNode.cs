namespace ModelPack.Runtime.Text;

/// <summary>Names a piece of a template with parameters, to be written where it is called.</summary>
/// <param name="name">Its name.</param>
/// <param name="parameters">Names of parameters, with defaults where they have one.</param>
/// <param name="body">What it writes.</param>
internal sealed class MacroNode(string name, IReadOnlyList<(string Name, TemplateExpression? Default)> parameters, IReadOnlyList<TemplateNode> body) : TemplateNode
{
    public override void Render(TemplateScope scope) => scope.Set(name, new Macro(name, parameters, body, scope));
}

/// <summary>A macro with the scope that it was defined in, whose variables it sees.</summary>
internal sealed record Macro(string Name, IReadOnlyList<(string Name, TemplateExpression? Default)> Parameters, IReadOnlyList<TemplateNode> Body, TemplateScope Scope)
{
    private const int MaxDepth = 100;

    /// <summary>What it writes.</summary>
    /// <param name="arguments">The arguments; what is not given is its default, or not there.</param>
    /// <param name="depth">Calls around this one.</param>
    /// <exception cref="ModelPackException">MP5035: too many arguments, an unknown one, or calls that are nested too deeply.</exception>
    public string Call(EvaluatedArguments arguments, int depth)
    {
        if (depth > MaxDepth)
        {
            throw ChatTemplate.Error($"calls of '{Name}' are nested too deeply");
        }

        if (arguments.Given.Length > Parameters.Count)
        {
            throw ChatTemplate.Error($"'{Name}' takes {Parameters.Count} arguments, not {arguments.Given.Length}");
        }

        if (arguments.Named.Keys.FirstOrDefault(k => !Parameters.Any(p => p.Name == k)) is string unknown)
        {
            throw ChatTemplate.Error($"'{Name}' has no parameter '{unknown}'");
        }

        var inner = new TemplateScope(new Dictionary<string, object?>(StringComparer.Ordinal), Scope) { Output = new(), Depth = depth + 1 };
        for (int i = 0; i < Parameters.Count; i++)
        {
            (string name, TemplateExpression? fallback) = Parameters[i];
            inner.Set(name, i < arguments.Given.Length ? arguments.Given[i] : arguments.Named.TryGetValue(name, out object? value) ? value : fallback is null ? Undefined.Value : fallback(inner));
        }

        TemplateNode.RenderAll(Body, inner);
        return inner.Output.ToString();
    }
}
