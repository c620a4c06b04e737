namespace ModelPack.Runtime.Text;

/// <summary>
/// A chat template of a checkpoint: the part of Jinja that published templates are made of. What a template says beyond that is an error that names it, never another text.
/// Immutable and thread-safe.
/// </summary>
/// <remarks>
/// Statements: for (with loop, unpacking, conditions), if, set (also of a namespace), macro, generation. The function strftime_now gives the local date and time. Expressions: literals, lists, dictionaries, attributes, items, slices, arithmetic, comparisons, in, is, and, or, not,
/// inline if, ~, calls, keyword arguments. As in transformers, line breaks after statements and white space before them are dropped.
/// </remarks>
public sealed class ChatTemplate
{
    /// <summary>The function that gives the time.</summary>
    internal const string Now = "strftime_now";

    private readonly IReadOnlyList<TemplateNode> _nodes;

    private ChatTemplate(IReadOnlyList<TemplateNode> nodes) => _nodes = nodes;

    /// <summary>Reads a template.</summary>
    /// <param name="text">The text, as <c>chat_template</c> of tokenizer_config.json or in chat_template.jinja.</param>
    /// <exception cref="ModelPackException">MP5035: it says something that is not understood.</exception>
    public static ChatTemplate Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new ChatTemplate(new TemplateParser(TemplateLexer.Read(text)).Template());
    }

    /// <summary>The prompt for a conversation.</summary>
    /// <param name="messages">The messages so far.</param>
    /// <param name="addGenerationPrompt">End with what introduces the answer.</param>
    /// <param name="beginToken">Text of the token that begins a text; empty for none.</param>
    /// <param name="endToken">Text of the token that ends one; empty for none.</param>
    /// <exception cref="ModelPackException">MP5035: the template refuses the messages (by raise_exception), or uses what is not understood.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt = true, string beginToken = "", string endToken = "") =>
        Render(messages, addGenerationPrompt, beginToken, endToken, TimeProvider.System.GetLocalNow());

    /// <summary>As the other overload, at a time of choice.</summary>
    internal string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt, string beginToken, string endToken, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(messages);
        var list = new List<object?>(messages.Select(m => (object?)new Dictionary<string, object?>(StringComparer.Ordinal) { ["role"] = m.Role, ["content"] = m.Content }));
        var scope = new TemplateScope(new Dictionary<string, object?>(StringComparer.Ordinal)
        {
            ["messages"] = list,
            ["add_generation_prompt"] = addGenerationPrompt,
            ["bos_token"] = beginToken,
            ["eos_token"] = endToken,
            [Now] = now,
        });
        foreach (TemplateNode node in _nodes)
        {
            node.Render(scope);
        }

        return scope.Output.ToString();
    }

    internal static ModelPackException Error(string what, int? at = null) =>
        new(ErrorCodes.BadChatTemplate, at is int offset ? FormattableString.Invariant($"chat template at character {offset}: {what}") : $"chat template: {what}");
}
