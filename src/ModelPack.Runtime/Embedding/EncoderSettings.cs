using System.Collections.Immutable;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Embedding;

/// <summary>What the files of a checkpoint say about embeddings: those of sentence-transformers where there are any, else the mean of all tokens.</summary>
/// <param name="Poolings">How tokens become one vector: the results of all of these, one behind the other.</param>
/// <param name="Steps">What the vector goes through then: a layer, or null for length 1.</param>
/// <param name="MaxTokens">Most tokens of a text, special ones included; null when nothing is said.</param>
/// <param name="PaddingToken">Fills shorter texts of a batch up.</param>
/// <param name="Lowercase">sentence-transformers' own lower case before the tokenizer.</param>
internal sealed record EncoderSettings(ImmutableArray<TextPooling> Poolings, ImmutableArray<DenseModule?> Steps, int? MaxTokens, int PaddingToken, bool Lowercase)
{
    private const string ModulesFile = "modules.json";
    private const string SentenceFile = "sentence_bert_config.json";
    private const string ConfigFile = "config.json";

    /// <summary>Classes whose positions are counted behind the padding token.</summary>
    private static readonly string[] CountedBehindPadding = ["Roberta", "XLMRoberta", "Camembert", "MPNet"];

    /// <summary>In the order in which sentence-transformers puts them behind each other, whatever the order in the file is.</summary>
    private static readonly (string Word, TextPooling Pooling)[] Known =
    [
        ("cls", TextPooling.Cls), ("max", TextPooling.Max), ("mean", TextPooling.Mean), ("mean_sqrt_len_tokens", TextPooling.MeanSqrtLength), ("weightedmean", TextPooling.WeightedMean), ("lasttoken", TextPooling.LastToken),
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
        ImmutableArray<TextPooling> poolings = [];
        var steps = ImmutableArray.CreateBuilder<DenseModule?>();
        foreach (Json module in Open(ModulesFile)?.Items() ?? [])
        {
            string path = module.Find("path")?.Text() ?? "";
            string type = module.Get("type").Text().Split('.')[^1];
            switch (type)
            {
                case "Transformer" when path.Length == 0:
                    break;
                case "Pooling" when poolings.IsEmpty && steps.Count == 0:
                    poolings = ReadPoolings(Open($"{path}/{ConfigFile}") ?? throw Missing($"{path}/{ConfigFile}"));
                    break;
                case "Pooling":
                    throw NotSupported($"{ModulesFile}: a second module 'Pooling', or one behind Dense or Normalize");
                case "Dense" or "Normalize" when poolings.IsEmpty:
                    throw NotSupported($"{ModulesFile}: module '{type}' without Pooling before it");
                case "Dense":
                    steps.Add(DenseModule.Read(path, file));
                    break;
                case "Normalize":
                    steps.Add(null);
                    break;
                default:
                    throw NotSupported($"{ModulesFile} has a module of type '{type}'{(path.Length > 0 ? $" in '{path}'" : "")}; there are: Transformer in the folder itself, Pooling, Dense, Normalize");
            }
        }

        return new EncoderSettings(
            poolings.IsEmpty ? [TextPooling.Mean] : poolings, steps.ToImmutable(), longest < positions || positions is null ? longest : positions, padding, sentence?.Flag("do_lower_case", false) ?? false);
    }

    /// <summary>Values of a vector.</summary>
    /// <param name="hidden">Values that the model gives per token.</param>
    /// <exception cref="ModelPackException">MP5070: a dense layer takes another number than there is before it.</exception>
    public int Dimensions(int hidden)
    {
        int values = hidden * Poolings.Length;
        foreach (DenseModule? dense in Steps)
        {
            if (dense is not null && dense.Inputs != values)
            {
                throw new ModelPackException(ErrorCodes.SentenceWeights, $"a dense layer takes {dense.Inputs} values, and {values} come to it");
            }

            values = dense?.Outputs ?? values;
        }

        return values;
    }

    internal static ModelPackException Missing(string file) => NotSupported($"{ModulesFile} names {file}, which is not there");

    private static ImmutableArray<TextPooling> ReadPoolings(Json config)
    {
        const string prefix = "pooling_mode_";
        const string suffix = "_tokens";
        const string first = "cls_token";
        string[] chosen = config.Find("pooling_mode") is Json mode
            ? [mode.Text()]
            : [.. config.Properties().Where(p => p.Name.StartsWith(prefix, StringComparison.Ordinal) && config.Flag(p.Name, false)).Select(p => p.Name[prefix.Length..])];
        string[] words = [.. chosen.Select(c => c == first ? "cls" : Array.Exists(Known, k => k.Word == c) || !c.EndsWith(suffix, StringComparison.Ordinal) ? c : c[..^suffix.Length])];
        return words.Length > 0 && Array.TrueForAll(words, w => Array.Exists(Known, k => k.Word == w))
            ? [.. Known.Where(k => words.Contains(k.Word, StringComparer.Ordinal)).Select(k => k.Pooling)]
            : throw NotSupported($"pooling by {(chosen.Length == 0 ? "nothing" : string.Join(" and ", chosen))}; there are: {string.Join(", ", Known.Select(k => k.Word))}");
    }

    internal static ModelPackException NotSupported(string detail) => new(ErrorCodes.SentenceModules, detail);
}
