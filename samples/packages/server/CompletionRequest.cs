using System.Text.Json;
using ModelPack.Runtime.Generation;
using ModelPack.Runtime.Text;

namespace ServerSample;

/// <summary>What clients of OpenAI's interface send; what is not named here is ignored.</summary>
internal sealed record CompletionRequest
{
    private const int DefaultTokens = 16;
    private const int DefaultChatTokens = 256;

    public JsonElement? Prompt { get; init; }

    public Message[]? Messages { get; init; }

    public int? MaxTokens { get; init; }

    public int? MaxCompletionTokens { get; init; }

    public double? Temperature { get; init; }

    public double? TopP { get; init; }

    public ulong? Seed { get; init; }

    public JsonElement? Stop { get; init; }

    public bool Stream { get; init; }

    public StreamOptions? StreamOptions { get; init; }

    public int? N { get; init; }

    /// <exception cref="BadHttpRequestException">There is none, or more than one.</exception>
    public string PromptText() => Texts(Prompt, "prompt") is [string { Length: > 0 } text] ? text : throw new BadHttpRequestException("'prompt' must be one text that is not empty");

    /// <exception cref="BadHttpRequestException">There are none.</exception>
    public ChatMessage[] ChatMessages() => Messages is { Length: > 0 } messages
        ? [.. messages.Select(m => new ChatMessage(m.Role ?? throw new BadHttpRequestException("a message has no 'role'"), m.Text()))]
        : throw new BadHttpRequestException("'messages' must not be empty");

    /// <exception cref="BadHttpRequestException">Something is out of range.</exception>
    public GenerationOptions Options()
    {
        if (N is not (null or 1))
        {
            throw new BadHttpRequestException("'n' must be 1");
        }

        double temperature = Temperature ?? 1;
        double topP = TopP ?? 1;
        int tokens = MaxCompletionTokens ?? MaxTokens ?? (Messages is null ? DefaultTokens : DefaultChatTokens);
        return temperature is not (>= 0 and <= 2) ? throw new BadHttpRequestException("'temperature' must be from 0 to 2")
            : topP is not (> 0 and <= 1) ? throw new BadHttpRequestException("'top_p' must be above 0 and up to 1")
            : tokens < 1 ? throw new BadHttpRequestException("'max_tokens' must be 1 or more")
            : new GenerationOptions { MaxTokens = tokens, Temperature = temperature, TopP = topP, Seed = Seed ?? (ulong)Random.Shared.NextInt64(), StopStrings = [.. Texts(Stop, "stop").Where(s => s.Length > 0)] };
    }

    /// <summary>A text or a list of texts.</summary>
    private static string[] Texts(JsonElement? value, string name) => value switch
    {
        null or { ValueKind: JsonValueKind.Null } => [],
        { ValueKind: JsonValueKind.String } text => [text.GetString()!],
        { ValueKind: JsonValueKind.Array } list when list.EnumerateArray().All(e => e.ValueKind == JsonValueKind.String) => [.. list.EnumerateArray().Select(e => e.GetString()!)],
        _ => throw new BadHttpRequestException($"'{name}' must be a text or a list of texts"),
    };
}

/// <summary>One message; its content is a text, or a list of parts of type text.</summary>
internal sealed record Message(string? Role, JsonElement? Content)
{
    public string Text() => Content switch
    {
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        { ValueKind: JsonValueKind.Array } parts => string.Concat(parts.EnumerateArray().Select(p =>
            p.ValueKind == JsonValueKind.Object && p.TryGetProperty("text", out JsonElement t) && t.ValueKind == JsonValueKind.String ? t.GetString() : throw new BadHttpRequestException("only parts of type text are taken"))),
        _ => throw new BadHttpRequestException("'content' must be a text"),
    };
}

internal sealed record StreamOptions(bool IncludeUsage);
