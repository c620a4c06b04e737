using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>The variables of a template while it is rendered, and what it has given so far.</summary>
internal sealed class TemplateScope
{
    private const int MaxOutput = 64 << 20;

    private readonly TemplateScope? _outer;
    private readonly Dictionary<string, object?> _variables;

    public TemplateScope(Dictionary<string, object?> variables, TemplateScope? outer = null)
    {
        _variables = variables;
        _outer = outer;
        Output = outer?.Output ?? new StringBuilder();
        Depth = outer?.Depth ?? 0;
    }

    /// <summary>Calls of macros around this scope.</summary>
    public int Depth { get; init; }

    public StringBuilder Output { get; init; }

    /// <summary>A variable; <see cref="Undefined"/> for none.</summary>
    public object? this[string name] => _variables.TryGetValue(name, out object? value) ? value : _outer is not null ? _outer[name] : Undefined.Value;

    /// <summary>Sets a variable of this scope: what a loop sets is gone after it.</summary>
    public void Set(string name, object? value) => _variables[name] = value;

    public void Write(string text)
    {
        if (Output.Length + text.Length > MaxOutput)
        {
            throw ChatTemplate.Error($"gives more than {MaxOutput} characters");
        }

        Output.Append(text);
    }
}

/// <summary>A value that is not there: nothing when written, false when asked.</summary>
internal sealed class Undefined
{
    public static Undefined Value { get; } = new();
}

/// <summary>Text, an expression or a statement.</summary>
internal abstract class TemplateNode
{
    public abstract void Render(TemplateScope scope);

    public static void RenderAll(IReadOnlyList<TemplateNode> nodes, TemplateScope scope)
    {
        foreach (TemplateNode node in nodes)
        {
            node.Render(scope);
        }
    }
}

internal sealed class TextNode(string text) : TemplateNode
{
    public override void Render(TemplateScope scope) => scope.Write(text);
}

internal sealed class OutputNode(TemplateExpression expression) : TemplateNode
{
    public override void Render(TemplateScope scope) => scope.Write(TemplateValues.Text(expression(scope)));
}

internal sealed class IfNode(IReadOnlyList<(TemplateExpression Condition, IReadOnlyList<TemplateNode> Body)> branches, IReadOnlyList<TemplateNode> otherwise) : TemplateNode
{
    public override void Render(TemplateScope scope)
    {
        foreach ((TemplateExpression condition, IReadOnlyList<TemplateNode> body) in branches)
        {
            if (TemplateValues.IsTrue(condition(scope)))
            {
                RenderAll(body, scope);
                return;
            }
        }

        RenderAll(otherwise, scope);
    }
}

/// <summary>Sets a variable, or with an attribute one of a namespace.</summary>
internal sealed class SetNode(string name, string? attribute, TemplateExpression value) : TemplateNode
{
    public override void Render(TemplateScope scope)
    {
        if (attribute is null)
        {
            scope.Set(name, value(scope));
            return;
        }

        if (scope[name] is not Dictionary<string, object?> space)
        {
            throw ChatTemplate.Error($"'{name}' is no namespace");
        }

        space[attribute] = value(scope);
    }
}

internal sealed class SetBlockNode(string name, IReadOnlyList<TemplateNode> body) : TemplateNode
{
    public override void Render(TemplateScope scope)
    {
        var inner = new TemplateScope(new Dictionary<string, object?>(StringComparer.Ordinal), scope) { Output = new StringBuilder() };
        RenderAll(body, inner);
        scope.Set(name, inner.Output.ToString());
    }
}

internal sealed class ForNode(IReadOnlyList<string> names, TemplateExpression items, TemplateExpression? condition, IReadOnlyList<TemplateNode> body, IReadOnlyList<TemplateNode> otherwise) : TemplateNode
{
    public override void Render(TemplateScope scope)
    {
        List<object?> all = [.. TemplateValues.Items(items(scope)).Where(item => condition is null || TemplateValues.IsTrue(condition(Scope(scope, item))))];
        for (int i = 0; i < all.Count; i++)
        {
            TemplateScope inner = Scope(scope, all[i]);
            inner.Set("loop", new Dictionary<string, object?>(StringComparer.Ordinal)
            {
                ["index"] = (long)i + 1,
                ["index0"] = (long)i,
                ["revindex"] = (long)all.Count - i,
                ["revindex0"] = (long)all.Count - i - 1,
                ["first"] = i == 0,
                ["last"] = i == all.Count - 1,
                ["length"] = (long)all.Count,
                ["previtem"] = i > 0 ? all[i - 1] : Undefined.Value,
                ["nextitem"] = i + 1 < all.Count ? all[i + 1] : Undefined.Value,
            });
            RenderAll(body, inner);
        }

        if (all.Count == 0)
        {
            RenderAll(otherwise, scope);
        }
    }

    private TemplateScope Scope(TemplateScope outer, object? item)
    {
        var inner = new TemplateScope(new Dictionary<string, object?>(StringComparer.Ordinal), outer);
        if (names.Count == 1)
        {
            inner.Set(names[0], item);
            return inner;
        }

        object?[] parts = [.. TemplateValues.Items(item)];
        for (int i = 0; i < names.Count; i++)
        {
            inner.Set(names[i], i < parts.Length && parts.Length == names.Count ? parts[i] : throw ChatTemplate.Error($"{parts.Length} values for {names.Count} names"));
        }

        return inner;
    }
}
