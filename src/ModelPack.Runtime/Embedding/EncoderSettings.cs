using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Embedding;

/// <summary>What the files of a checkpoint say about embeddings: those of sentence-transformers where there are any, else the mean of all tokens.</summary>
/// <param name="Pooling">How tokens become one vector.</param>
/// <param name="Normalize">Vectors get length 1.</param>
/// <param name="MaxTokens">Most tokens of a text, special ones included; null when nothing is said.</param>
/// <param name="PaddingToken">Fills shorter texts of a batch up.</param>
/// <param name="Lowercase">sentence-transformers' own lower case before the tokenizer.</param>
internal sealed record EncoderSettings(TextPooling Pooling, bool Normalize, int? MaxTokens, int PaddingToken, bool Lowercase)
{
    private const string ModulesFile = "modules.json";
    private const string SentenceFile = "sentence_bert_config.json";
    private const string ConfigFile = "config.json";

    /// <summary>Classes whose positions are counted behind the padding token.</summary>
    private static readonly string[] CountedBehindPadding = ["Roberta", "XLMRoberta", "Camembert", "MPNet"];

    private static readonly (string Word, TextPooling Pooling)[] Poolings =
    [
        ("mean", TextPooling.Mean), ("cls", TextPooling.Cls), ("max", TextPooling.Max), ("mean_sqrt_len_tokens", TextPooling.MeanSqrtLength), ("weightedmean", TextPooling.WeightedMean), ("lasttoken", TextPooling.LastToken),
        ("mean_tokens", TextPooling.Mean), ("cls_token", TextPooling.Cls), ("max_tokens", TextPooling.Max), ("weightedmean_tokens", TextPooling.WeightedMean),
    ];

    /// <summary>Reads the files among those of a checkpoint.</summary>
    /// <exception cref="ModelPackException">MP5031: one of them is damaged; MP1514: they ask for something that is not supported.</exception>
    public static EncoderSettings Read(Func<string, ReadOnlyMemory<byte>?> file)
    {
        Json? Open(string name) => file(name) is ReadOnlyMemory<byte> text ? Json.Parse(text, name) : null;
        Json? config = Open(ConfigFile);
        Json? sentence = Open(SentenceFile);
        string className = config?.Find("architectures")?.Items() is [Json first, ..] ? first.Text() : "";
        bool behind = Array.Exists(CountedBehindPadding, f => className.StartsWith(f, StringComparison.Ordinal));
        int padding = config?.Find("pad_token_id")?.Integer(int.MaxValue) ?? (behind ? 1 : 0);
        int? positions = config?.Find("max_position_embeddings")?.Integer(int.MaxValue) - (behind ? padding + 1 : 0);
        int? longest = sentence?.Find("max_seq_length")?.Integer(int.MaxValue);
        TextPooling pooling = TextPooling.Mean;
        bool normalize = false;
        foreach (Json module in Open(ModulesFile)?.Items() ?? [])
        {
            string path = module.Find("path")?.Text() ?? "";
            switch (module.Get("type").Text().Split('.')[^1])
            {
                case "Transformer" when path.Length == 0:
                    break;
                case "Pooling":
                    pooling = ReadPooling(Open($"{path}/{ConfigFile}") ?? throw NotSupported($"{ModulesFile} names {path}/{ConfigFile}, which is not there"));
                    break;
                case "Normalize":
                    normalize = true;
                    break;
                case string type:
                    throw NotSupported($"{ModulesFile} has a module of type '{type}'{(path.Length > 0 ? $" in '{path}'" : "")}; there are: Transformer in the folder itself, Pooling, Normalize");
            }
        }

        return new EncoderSettings(pooling, normalize, longest < positions || positions is null ? longest : positions, padding, sentence?.Flag("do_lower_case", false) ?? false);
    }

    private static TextPooling ReadPooling(Json config)
    {
        const string prefix = "pooling_mode_";
        string[] chosen = config.Find("pooling_mode") is Json mode
            ? [mode.Text()]
            : [.. config.Properties().Where(p => p.Name.StartsWith(prefix, StringComparison.Ordinal) && config.Flag(p.Name, false)).Select(p => p.Name[prefix.Length..])];
        return chosen is [string only] && Array.FindIndex(Poolings, p => p.Word == only) is int index and >= 0
            ? Poolings[index].Pooling
            : throw NotSupported($"pooling by {(chosen.Length == 0 ? "nothing" : string.Join(" and ", chosen))}; there are: mean, cls, max, mean_sqrt_len_tokens, weightedmean and lasttoken, one at a time");
    }

    private static ModelPackException NotSupported(string detail) => new(ErrorCodes.SentenceModules, detail);
}
