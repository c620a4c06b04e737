namespace ModelPack.Runtime.Text;

/// <summary>From tokens to statements and expressions. This part: statements.</summary>
internal sealed partial class TemplateParser(List<TemplateToken> tokens)
{
    private const int MaxDepth = 200;

    /// <summary>Operators one after the other in a statement: each is a call inside the next.</summary>
    private const int MaxLinks = 2000;

    private readonly HashSet<string> _macros = new(StringComparer.Ordinal);

    private int _at;
    private int _depth;
    private int _links;

    private TemplateToken Token => tokens[_at];

    /// <summary>The whole template.</summary>
    /// <exception cref="ModelPackException">MP5035.</exception>
    public IReadOnlyList<TemplateNode> Template()
    {
        IReadOnlyList<TemplateNode> nodes = Body();
        return Token.Kind == TokenKind.End ? nodes : throw Unexpected();
    }

    /// <summary>Everything up to a statement that is not the beginning of one: an end, else or elif, which is left to the caller.</summary>
    private List<TemplateNode> Body()
    {
        var nodes = new List<TemplateNode>();
        while (true)
        {
            _links = 0;
            switch (Token.Kind)
            {
                case TokenKind.Text:
                    nodes.Add(new TextNode(Token.Text));
                    _at++;
                    break;
                case TokenKind.BeginExpression:
                    _at++;
                    nodes.Add(new OutputNode(Expression()));
                    Expect(TokenKind.EndExpression);
                    break;
                case TokenKind.BeginStatement when tokens[_at + 1].Text is not ("endfor" or "endif" or "endset" or "endmacro" or "endgeneration" or "else" or "elif"):
                    _at++;
                    nodes.AddRange(Statement());
                    break;
                default:
                    return nodes;
            }
        }
    }

    private List<TemplateNode> Statement()
    {
        if (++_depth > MaxDepth)
        {
            throw ChatTemplate.Error("is nested too deeply", Token.At);
        }

        string name = Name();
        List<TemplateNode> nodes = name switch
        {
            "if" => [If()],
            "for" => [For()],
            "set" => [Set()],
            "macro" => [Macro()],
            "generation" => Generation(),
            _ => throw ChatTemplate.Error($"the statement '{name}' is not understood", tokens[_at - 1].At),
        };
        _depth--;
        return nodes;
    }

    private IfNode If()
    {
        var branches = new List<(TemplateExpression, IReadOnlyList<TemplateNode>)>();
        IReadOnlyList<TemplateNode> otherwise = [];
        TemplateExpression condition = Expression();
        Expect(TokenKind.EndStatement);
        branches.Add((condition, Body()));
        while (true)
        {
            Expect(TokenKind.BeginStatement);
            switch (Name())
            {
                case "elif":
                    condition = Expression();
                    Expect(TokenKind.EndStatement);
                    branches.Add((condition, Body()));
                    break;
                case "else":
                    Expect(TokenKind.EndStatement);
                    otherwise = Body();
                    break;
                case "endif":
                    Expect(TokenKind.EndStatement);
                    return new IfNode(branches, otherwise);
                default:
                    _at--;
                    throw Unexpected();
            }
        }
    }

    private ForNode For()
    {
        var names = new List<string> { Name() };
        while (Take(","))
        {
            names.Add(Name());
        }

        if (Name() != "in")
        {
            throw Unexpected();
        }

        TemplateExpression items = Or();
        TemplateExpression? condition = TakeName("if") ? Expression() : null;
        Expect(TokenKind.EndStatement);
        List<TemplateNode> body = Body();
        Expect(TokenKind.BeginStatement);
        List<TemplateNode> otherwise = [];
        string next = Name();
        if (next == "else")
        {
            Expect(TokenKind.EndStatement);
            otherwise = Body();
            Expect(TokenKind.BeginStatement);
            next = Name();
        }

        End(next, "endfor");
        return new ForNode(names, items, condition, body, otherwise);
    }

    private TemplateNode Set()
    {
        string name = Name();
        string? attribute = Take(".") ? Name() : null;
        if (Take("="))
        {
            TemplateExpression value = Expression();
            Expect(TokenKind.EndStatement);
            return new SetNode(name, attribute, value);
        }

        Expect(TokenKind.EndStatement);
        List<TemplateNode> body = Body();
        Expect(TokenKind.BeginStatement);
        End(Name(), "endset");
        return new SetBlockNode(name, body);
    }

    private MacroNode Macro()
    {
        string name = Name();
        _macros.Add(name); // Before its body, which may call it.
        Require("(");
        var parameters = new List<(string, TemplateExpression?)>();
        while (!Take(")"))
        {
            string parameter = Name();
            parameters.Add((parameter, Take("=") ? Expression() : null));
            if (!Take(","))
            {
                Require(")");
                break;
            }
        }

        Expect(TokenKind.EndStatement);
        List<TemplateNode> body = Body();
        Expect(TokenKind.BeginStatement);
        End(Name(), "endmacro");
        return new MacroNode(name, parameters, body);
    }

    /// <summary>Marks what a model is trained on; means nothing here.</summary>
    private List<TemplateNode> Generation()
    {
        Expect(TokenKind.EndStatement);
        List<TemplateNode> body = Body();
        Expect(TokenKind.BeginStatement);
        End(Name(), "endgeneration");
        return body;
    }

    private void End(string found, string expected)
    {
        if (found != expected)
        {
            _at--;
            throw Unexpected();
        }

        Expect(TokenKind.EndStatement);
    }

    private void Link()
    {
        if (++_links > MaxLinks)
        {
            throw ChatTemplate.Error("has too long an expression", Token.At);
        }
    }

    private bool Take(string op)
    {
        bool found = Token.Kind == TokenKind.Operator && Token.Text == op;
        _at += found ? 1 : 0;
        return found;
    }

    private bool TakeName(string name)
    {
        bool found = Token.Kind == TokenKind.Name && Token.Text == name;
        _at += found ? 1 : 0;
        return found;
    }

    private void Require(string op)
    {
        if (!Take(op))
        {
            throw Unexpected();
        }
    }

    private string Name() => Token.Kind == TokenKind.Name ? tokens[_at++].Text : throw Unexpected();

    private void Expect(TokenKind kind) => _at = Token.Kind == kind ? _at + 1 : throw Unexpected();

    private ModelPackException Unexpected() => ChatTemplate.Error(Token.Kind == TokenKind.End ? "ends too early" : $"'{Token.Text}' ({Token.Kind}) is not expected there", Token.At);
}
