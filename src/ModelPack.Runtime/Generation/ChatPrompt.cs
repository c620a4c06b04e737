using System.Text;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Generation;

/// <summary>The files of a checkpoint that say how conversations become prompts.</summary>
/// <param name="Settings">tokenizer_config.json.</param>
/// <param name="Template">chat_template.jinja.</param>
internal sealed record ChatFiles(ReadOnlyMemory<byte>? Settings, ReadOnlyMemory<byte>? Template)
{
    public const string SettingsFile = "tokenizer_config.json";

    public static ChatFiles Read(Func<string, ReadOnlyMemory<byte>?> file) => new(file(SettingsFile), file("chat_template.jinja"));
}

/// <summary>Makes prompts of conversations.</summary>
internal sealed class ChatPrompt(ChatTemplate template, string beginToken, string endToken)
{
    /// <summary>The template of a checkpoint: <c>chat_template.jinja</c>, else <c>chat_template</c> of tokenizer_config.json, of several there the one named default.</summary>
    /// <exception cref="ModelPackException">MP5031: tokenizer_config.json is damaged; MP5035: there is no template, or one that is not understood.</exception>
    public static ChatPrompt Of(ChatFiles files)
    {
        Json? settings = files.Settings is ReadOnlyMemory<byte> text ? Json.Parse(text, ChatFiles.SettingsFile) : null;
        string? template = files.Template is ReadOnlyMemory<byte> jinja ? Encoding.UTF8.GetString(jinja.Span) : Template(settings?.Find("chat_template"));
        return template is null
            ? throw new ModelPackException(ErrorCodes.BadChatTemplate, "the checkpoint has no chat template, neither in tokenizer_config.json nor as chat_template.jinja: it continues texts (--prompt), it does not answer")
            : new ChatPrompt(ChatTemplate.Parse(template), Token(settings, "bos_token"), Token(settings, "eos_token"));
    }

    public string Render(IReadOnlyList<ChatMessage> messages) => template.Render(messages, addGenerationPrompt: true, beginToken, endToken);

    private static string? Template(Json? section) => section switch
    {
        null => null,
        { IsArray: true } => section.Items().FirstOrDefault(t => t.Get("name").Text() == "default")?.Get("template").Text(),
        _ => section.Text(),
    };

    /// <summary>A token, as text or described.</summary>
    private static string Token(Json? settings, string name) => settings?.Find(name) is not Json token ? "" : token.IsText ? token.Text() : token.Get("content").Text();
}
