using System.Collections.Immutable;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Generation;

/// <summary>What config.json and generation_config.json say about generation.</summary>
/// <param name="EndTokens">Tokens that end a text: <c>eos_token_id</c> of generation_config.json, else of config.json.</param>
/// <param name="ContextLength">Most tokens of a text (<c>max_position_embeddings</c>); null when nothing is said.</param>
internal sealed record LanguageModelSettings(ImmutableArray<int> EndTokens, int? ContextLength)
{
    private const string ConfigFile = "config.json";
    private const string GenerationFile = "generation_config.json";

    /// <summary>Reads the files among those of a checkpoint.</summary>
    /// <exception cref="ModelPackException">MP5031: one of them is damaged.</exception>
    public static LanguageModelSettings Read(Func<string, ReadOnlyMemory<byte>?> file)
    {
        Json? config = file(ConfigFile) is ReadOnlyMemory<byte> text ? Json.Parse(text, ConfigFile) : null;
        Json? generation = file(GenerationFile) is ReadOnlyMemory<byte> other ? Json.Parse(other, GenerationFile) : null;
        Json? inner = config?.Find("text_config"); // Models of several modalities.
        Json? end = generation?.Find("eos_token_id") ?? config?.Find("eos_token_id") ?? inner?.Find("eos_token_id");
        Json? context = config?.Find("max_position_embeddings") ?? inner?.Find("max_position_embeddings");
        return new LanguageModelSettings(EndIds(end), context?.Integer(int.MaxValue));
    }

    private static ImmutableArray<int> EndIds(Json? end) => end switch
    {
        null => [],
        { IsArray: true } => [.. end.Items().Select(i => i.Integer(int.MaxValue))],
        _ => [end.Integer(int.MaxValue)],
    };
}
