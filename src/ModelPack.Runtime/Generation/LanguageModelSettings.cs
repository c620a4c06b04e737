using System.Collections.Immutable;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Generation;

/// <summary>What config.json and generation_config.json say about generation.</summary>
/// <param name="EndTokens">Tokens that end a text: <c>eos_token_id</c> of generation_config.json, else of config.json.</param>
/// <param name="ContextLength">Most tokens of a text (<c>max_position_embeddings</c>, or less where rotary embeddings change beyond an original length: graphs are built for that); null when nothing is said.</param>
/// <param name="VocabularySize">Rows of the embedding; null when nothing is said.</param>
internal sealed record LanguageModelSettings(ImmutableArray<int> EndTokens, int? ContextLength, int? VocabularySize)
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
        int? vocabulary = (config?.Find("vocab_size") ?? inner?.Find("vocab_size"))?.Integer(int.MaxValue);
        return new LanguageModelSettings(EndIds(end), (config is null ? null : Context(config)) ?? (inner is null ? null : Context(inner)), vocabulary);
    }

    private static int? Context(Json config)
    {
        const string original = "original_max_position_embeddings";
        int? longest = config.Find("max_position_embeddings")?.Integer(int.MaxValue);
        Json? rope = config.Find("rope_scaling") ?? config.Find("rope_parameters");
        bool changes = (rope?.Find("rope_type") ?? rope?.Find("type"))?.Text() is "longrope" or "dynamic";
        int? built = changes ? (rope!.Find(original) ?? config.Find(original))?.Integer(int.MaxValue) : null;
        return built < longest ? built : longest;
    }

    private static ImmutableArray<int> EndIds(Json? end) => end switch
    {
        null => [],
        { IsArray: true } => [.. end.Items().Select(i => i.Integer(int.MaxValue))],
        _ => [end.Integer(int.MaxValue)],
    };
}
