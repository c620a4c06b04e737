using System.Globalization;

namespace ModelPack.Runtime.Text;

/// <content>Expressions, from the loosest operator to the tightest.</content>
internal sealed partial class TemplateParser
{
    private TemplateExpression Expression()
    {
        if (++_depth > MaxDepth)
        {
            throw ChatTemplate.Error("is nested too deeply", Token.At);
        }

        TemplateExpression value = Or();
        if (TakeName("if"))
        {
            TemplateExpression yes = value;
            TemplateExpression condition = Or();
            TemplateExpression no = TakeName("else") ? Expression() : _ => Undefined.Value;
            value = scope => TemplateValues.IsTrue(condition(scope)) ? yes(scope) : no(scope);
        }

        _depth--;
        return value;
    }

    private TemplateExpression Nested(Func<TemplateExpression> parse)
    {
        if (++_depth > MaxDepth)
        {
            throw ChatTemplate.Error("is nested too deeply", Token.At);
        }

        TemplateExpression value = parse();
        _depth--;
        return value;
    }

    private TemplateExpression Or()
    {
        TemplateExpression left = And();
        while (TakeName("or"))
        {
            Link();
            (TemplateExpression a, TemplateExpression b) = (left, And());
            left = scope => a(scope) is var value && TemplateValues.IsTrue(value) ? value : b(scope);
        }

        return left;
    }

    private TemplateExpression And()
    {
        TemplateExpression left = Not();
        while (TakeName("and"))
        {
            Link();
            (TemplateExpression a, TemplateExpression b) = (left, Not());
            left = scope => a(scope) is var value && !TemplateValues.IsTrue(value) ? value : b(scope);
        }

        return left;
    }

    private TemplateExpression Not()
    {
        if (!TakeName("not"))
        {
            return Comparison();
        }

        TemplateExpression value = Nested(Not);
        return scope => !TemplateValues.IsTrue(value(scope));
    }

    private TemplateExpression Comparison()
    {
        TemplateExpression left = Sum();
        while (true)
        {
            Link();
            TemplateExpression a = left;
            if (Token is { Kind: TokenKind.Operator, Text: "==" or "!=" or "<" or ">" or "<=" or ">=" })
            {
                string op = tokens[_at++].Text;
                TemplateExpression b = Sum();
                left = op switch
                {
                    "==" => scope => TemplateValues.AreEqual(a(scope), b(scope)),
                    "!=" => scope => !TemplateValues.AreEqual(a(scope), b(scope)),
                    "<" => scope => TemplateValues.Compare(a(scope), b(scope)) < 0,
                    ">" => scope => TemplateValues.Compare(a(scope), b(scope)) > 0,
                    "<=" => scope => TemplateValues.Compare(a(scope), b(scope)) <= 0,
                    _ => scope => TemplateValues.Compare(a(scope), b(scope)) >= 0,
                };
            }
            else if (TakeName("in"))
            {
                TemplateExpression b = Sum();
                left = scope => TemplateValues.Contains(b(scope), a(scope));
            }
            else if (Token is { Kind: TokenKind.Name, Text: "not" } && tokens[_at + 1].Text == "in")
            {
                _at += 2;
                TemplateExpression b = Sum();
                left = scope => !TemplateValues.Contains(b(scope), a(scope));
            }
            else
            {
                return left;
            }
        }
    }

    private TemplateExpression Sum()
    {
        TemplateExpression left = Product();
        while (Token is { Kind: TokenKind.Operator, Text: "+" or "-" or "~" })
        {
            Link();
            string op = tokens[_at++].Text;
            (TemplateExpression a, TemplateExpression b) = (left, Product());
            left = op == "~" ? scope => TemplateValues.Text(a(scope)) + TemplateValues.Text(b(scope)) : scope => TemplateValues.Arithmetic(op, a(scope), b(scope));
        }

        return left;
    }

    private TemplateExpression Product()
    {
        TemplateExpression left = Unary();
        while (Token is { Kind: TokenKind.Operator, Text: "*" or "//" or "%" })
        {
            Link();
            string op = tokens[_at++].Text;
            (TemplateExpression a, TemplateExpression b) = (left, Unary());
            left = scope => TemplateValues.Arithmetic(op, a(scope), b(scope));
        }

        return left;
    }

    private TemplateExpression Unary()
    {
        if (!Take("-"))
        {
            return Filters(Postfix(Primary()));
        }

        TemplateExpression value = Nested(Unary);
        return scope => TemplateValues.Arithmetic("-", 0L, value(scope));
    }

    private TemplateExpression Filters(TemplateExpression value)
    {
        while (true)
        {
            Link();
            if (Take("|"))
            {
                int at = Token.At;
                (string name, TemplateExpression input) = (Name(), value);
                TemplateArguments arguments = Take("(") ? Arguments() : TemplateArguments.None;
                TemplateFunction filter = TemplateFunctions.Filter(name, at);
                value = scope => filter(input(scope), arguments.Evaluate(scope));
            }
            else if (TakeName("is"))
            {
                bool negated = TakeName("not");
                int at = Token.At;
                (string name, TemplateExpression input) = (Name(), value);
                TemplateArguments arguments = Take("(") ? Arguments() : TemplateArguments.None;
                TemplateFunction test = TemplateFunctions.Test(name, at);
                value = scope => TemplateValues.IsTrue(test(input(scope), arguments.Evaluate(scope))) != negated;
            }
            else
            {
                return value;
            }
        }
    }

    private TemplateExpression Postfix(TemplateExpression value)
    {
        while (true)
        {
            Link();
            TemplateExpression input = value;
            if (Take("."))
            {
                int at = Token.At;
                string name = Name();
                if (Take("("))
                {
                    TemplateArguments arguments = Arguments();
                    TemplateFunction method = TemplateFunctions.Method(name, at);
                    value = scope => method(input(scope), arguments.Evaluate(scope));
                }
                else
                {
                    value = scope => TemplateValues.Item(input(scope), name);
                }
            }
            else if (Take("["))
            {
                value = ItemOrSlice(input);
            }
            else
            {
                return value;
            }
        }
    }

    private TemplateExpression ItemOrSlice(TemplateExpression input)
    {
        TemplateExpression? from = Token.Text == ":" ? null : Expression();
        if (Take("]"))
        {
            return scope => TemplateValues.Item(input(scope), from!(scope));
        }

        Require(":");
        TemplateExpression? to = Token.Text is ":" or "]" ? null : Expression();
        TemplateExpression? step = Take(":") && Token.Text != "]" ? Expression() : null;
        Require("]");
        return scope => TemplateValues.Slice(input(scope), from?.Invoke(scope) as long?, to?.Invoke(scope) as long?, step?.Invoke(scope) as long? ?? 1);
    }

    private TemplateExpression Primary()
    {
        TemplateToken token = tokens[_at++];
        switch (token.Kind)
        {
            case TokenKind.Literal:
                string text = token.Text;
                while (Token.Kind == TokenKind.Literal)
                {
                    text += tokens[_at++].Text;
                }

                return _ => text;
            case TokenKind.Number:
                object number = token.Text.Contains('.', StringComparison.Ordinal) ? (object)double.Parse(token.Text, CultureInfo.InvariantCulture)
                    : long.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out long whole) ? (object)whole
                    : throw ChatTemplate.Error($"the number {token.Text} is too large", token.At);
                return _ => number;
            case TokenKind.Name:
                return Named(token);
            case TokenKind.Operator when token.Text == "(":
                TemplateExpression inner = Expression();
                Require(")");
                return inner;
            case TokenKind.Operator when token.Text == "[":
                List<TemplateExpression> items = List("]");
                return scope => new List<object?>(items.Select(i => i(scope)));
            case TokenKind.Operator when token.Text == "{":
                return Dictionary();
            default:
                _at--;
                throw Unexpected();
        }
    }

    private TemplateExpression Named(TemplateToken token)
    {
        switch (token.Text)
        {
            case "true" or "True":
                return _ => true;
            case "false" or "False":
                return _ => false;
            case "none" or "None":
                return _ => null;
        }

        string name = token.Text;
        if (!Take("("))
        {
            return scope => scope[name];
        }

        TemplateArguments arguments = Arguments();
        if (_macros.Contains(name))
        {
            return scope => scope[name] is Macro macro ? macro.Call(arguments.Evaluate(scope), scope.Depth) : throw ChatTemplate.Error($"'{name}' is no macro where it is called");
        }

        if (name == ChatTemplate.Now)
        {
            return scope => scope[name] is DateTimeOffset now && arguments.Evaluate(scope)[0] is string format ? TemplateTime.Format(now, format) : throw ChatTemplate.Error($"{name} needs a format");
        }

        TemplateFunction function = TemplateFunctions.Global(name, token.At);
        return scope => function(null, arguments.Evaluate(scope));
    }

    private TemplateExpression Dictionary()
    {
        var pairs = new List<(TemplateExpression Key, TemplateExpression Value)>();
        while (!Take("}"))
        {
            TemplateExpression key = Expression();
            Require(":");
            pairs.Add((key, Expression()));
            if (!Take(","))
            {
                Require("}");
                break;
            }
        }

        return scope =>
        {
            var map = new Dictionary<string, object?>(StringComparer.Ordinal);
            foreach ((TemplateExpression key, TemplateExpression value) in pairs)
            {
                map[TemplateValues.Text(key(scope))] = value(scope);
            }

            return map;
        };
    }

    private List<TemplateExpression> List(string end)
    {
        var items = new List<TemplateExpression>();
        while (!Take(end))
        {
            items.Add(Expression());
            if (!Take(","))
            {
                Require(end);
                break;
            }
        }

        return items;
    }

    /// <summary>After the opening bracket.</summary>
    private TemplateArguments Arguments()
    {
        var given = new List<TemplateExpression>();
        var named = new List<(string, TemplateExpression)>();
        while (!Take(")"))
        {
            if (Token.Kind == TokenKind.Name && tokens[_at + 1] is { Kind: TokenKind.Operator, Text: "=" })
            {
                string name = Name();
                Require("=");
                named.Add((name, Expression()));
            }
            else
            {
                given.Add(Expression());
            }

            if (!Take(","))
            {
                Require(")");
                break;
            }
        }

        return new TemplateArguments(given, named);
    }
}
