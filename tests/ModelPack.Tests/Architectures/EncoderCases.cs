using System.Text.Json.Nodes;
using ModelPack.Testing;

namespace ModelPack.Tests.Architectures;

/// <summary>Small random encoders of every family and head.</summary>
internal static class EncoderCases
{
    public const int Vocabulary = 53;

    /// <summary>Name, class and settings; <c>dtype</c> is the type of the weights, <c>prefix</c> stands before names, <c>pooler</c> and <c>old</c> (names of norms before 2019) say what the checkpoint has.</summary>
    private static readonly (string Name, string Class, string Settings)[] All =
    [
        ("bert", "BertModel", """{"dtype":"bf16","type_vocab_size":2,"pooler":true}"""),
        ("bert of a larger checkpoint, tanh", "BertModel", """{"dtype":"f32","prefix":true,"hidden_act":"gelu_new","type_vocab_size":3,"layer_norm_eps":0.01}"""),
        ("bert masked, old names", "BertForMaskedLM", """{"dtype":"f32","prefix":true,"old":true}"""),
        ("bert masked, own table", "BertForMaskedLM", """{"dtype":"f16","prefix":true,"tie_word_embeddings":false,"hidden_act":"relu"}"""),
        ("bert classes", "BertForSequenceClassification", """{"dtype":"bf16","prefix":true,"pooler":true,"id2label":{"0":"a","1":"b","2":"c"}}"""),
        ("bert tokens", "BertForTokenClassification", """{"dtype":"f32","prefix":true,"id2label":{"0":"a","1":"b","2":"c","3":"d","4":"e"}}"""),
        ("bert spans", "BertForQuestionAnswering", """{"dtype":"bf16","prefix":true,"type_vocab_size":2}"""),
        ("distilbert spans", "DistilBertForQuestionAnswering", """{"dtype":"f32","prefix":true}"""),
        ("roberta", "RobertaModel", """{"dtype":"bf16","type_vocab_size":1,"pad_token_id":1,"pooler":true,"layer_norm_eps":1e-5}"""),
        ("roberta masked", "RobertaForMaskedLM", """{"dtype":"f32","prefix":true,"type_vocab_size":1,"pad_token_id":1}"""),
        ("xlm-roberta classes", "XLMRobertaForSequenceClassification", """{"dtype":"f32","prefix":true,"type_vocab_size":1,"pad_token_id":3,"num_labels":4}"""),
        ("camembert tokens", "CamembertForTokenClassification", """{"dtype":"f32","prefix":true,"type_vocab_size":1,"id2label":{"0":"a","1":"b"}}"""),
        ("distilbert", "DistilBertModel", """{"dtype":"bf16"}"""),
        ("distilbert masked", "DistilBertForMaskedLM", """{"dtype":"f32","prefix":true}"""),
        ("distilbert classes", "DistilBertForSequenceClassification", """{"dtype":"f32","prefix":true,"activation":"relu"}"""),
        ("mpnet", "MPNetModel", """{"dtype":"f32","pooler":true,"layer_norm_eps":1e-5,"relative_attention_num_buckets":32}"""),
        ("mpnet, few buckets", "MPNetForSequenceClassification", """{"dtype":"f32","prefix":true,"relative_attention_num_buckets":8}"""),
    ];

    public static IEnumerable<string> Names => All.Select(c => c.Name);

    public static IEnumerable<string> Classes => All.Select(c => c.Class).Distinct(StringComparer.Ordinal);

    /// <summary>The checkpoint of a case, and the prefix of its names.</summary>
    public static (RandomCheckpoint Checkpoint, string Prefix) Make(string name)
    {
        (_, string className, string settings) = All.Single(c => c.Name == name);
        var config = (JsonObject)JsonNode.Parse(settings)!;
        bool Take(string key)
        {
            bool value = (bool?)config[key] ?? false;
            config.Remove(key);
            return value;
        }

        Xunit.Assert.True(DTypes.TryParse((string)config["dtype"]!, out DType type));
        config.Remove("dtype");
        (bool prefixed, bool pooler, bool old) = (Take("prefix"), Take("pooler"), Take("old"));
        string family = new[] { "XLMRoberta", "Camembert", "Roberta", "DistilBert", "MPNet", "Bert" }.First(f => className.StartsWith(f, StringComparison.Ordinal));
        bool distil = family == "DistilBert";
        config["architectures"] = new JsonArray(className);
        config["vocab_size"] = Vocabulary;
        config[distil ? "dim" : "hidden_size"] = 24;
        config[distil ? "n_heads" : "num_attention_heads"] = 4;
        config[distil ? "n_layers" : "num_hidden_layers"] = 2;
        config[distil ? "hidden_dim" : "intermediate_size"] = 40;
        config["max_position_embeddings"] = 37;
        string prefix = !prefixed ? "" : family switch { "Bert" => "bert.", "DistilBert" => "distilbert.", "MPNet" => "mpnet.", _ => "roberta." };
        var checkpoint = new RandomCheckpoint(config) { DType = type };
        AddBody(checkpoint, prefix, family, pooler, old);
        AddHead(checkpoint, className, family, old);
        return (checkpoint, prefix);
    }

    /// <summary>Two texts of 15 tokens, the second shorter and filled up; a token of the first is hidden as well, and one is the padding token though it is seen.</summary>
    public static (long[] Ids, long[] Mask, long[] Types) Batch(int padding)
    {
        const int width = 15;
        var random = new SplitMix(11);
        long[] ids = [.. Enumerable.Range(0, 2 * width).Select(_ => 4 + (long)random.Below(Vocabulary - 4))];
        long[] mask = [.. Enumerable.Repeat(1L, 2 * width)];
        for (int i = width + 9; i < 2 * width; i++)
        {
            (ids[i], mask[i]) = (padding, 0);
        }

        mask[5] = 0;
        ids[3] = padding;
        return (ids, mask, [.. Enumerable.Range(0, 2 * width).Select(i => i % width > 6 ? 1L : 0)]);
    }

    private static void Norm(RandomCheckpoint checkpoint, string module, bool old)
    {
        checkpoint.Add($"{module}.{(old ? "gamma" : "weight")}", 0.3, 1, 24);
        checkpoint.Add($"{module}.{(old ? "beta" : "bias")}", 0.3, 0, 24);
    }

    private static void Linear(RandomCheckpoint checkpoint, string module, int outputs, int inputs)
    {
        checkpoint.Add($"{module}.weight", 1.6 / Math.Sqrt(inputs), 0, outputs, inputs);
        checkpoint.Add($"{module}.bias", 0.3, 0, outputs);
    }

    private static void AddBody(RandomCheckpoint checkpoint, string prefix, string family, bool pooler, bool old)
    {
        JsonObject config = checkpoint.Config;
        bool distil = family == "DistilBert";
        bool mpnet = family == "MPNet";
        checkpoint.Add(prefix + "embeddings.word_embeddings.weight", 1, 0, Vocabulary, 24);
        checkpoint.Add(prefix + "embeddings.position_embeddings.weight", 1, 0, 37, 24);
        if (!distil && !mpnet)
        {
            checkpoint.Add(prefix + "embeddings.token_type_embeddings.weight", 1, 0, (int?)config["type_vocab_size"] ?? 2, 24);
        }

        Norm(checkpoint, prefix + "embeddings.LayerNorm", old);
        if (mpnet)
        {
            checkpoint.Add(prefix + "encoder.relative_attention_bias.weight", 2, 0, (int)config["relative_attention_num_buckets"]!, 4);
        }

        string[] square = distil ? ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"]
            : mpnet ? ["attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"]
            : ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
        for (int n = 0; n < 2; n++)
        {
            string layer = $"{prefix}{(distil ? "transformer" : "encoder")}.layer.{n}.";
            foreach (string module in square)
            {
                Linear(checkpoint, layer + module, 24, 24);
            }

            Norm(checkpoint, layer + (distil ? "sa_layer_norm" : mpnet ? "attention.LayerNorm" : "attention.output.LayerNorm"), old);
            Linear(checkpoint, layer + (distil ? "ffn.lin1" : "intermediate.dense"), 40, 24);
            Linear(checkpoint, layer + (distil ? "ffn.lin2" : "output.dense"), 24, 40);
            Norm(checkpoint, layer + (distil ? "output_layer_norm" : "output.LayerNorm"), old);
        }

        if (pooler)
        {
            Linear(checkpoint, prefix + "pooler.dense", 24, 24);
        }
    }

    private static void AddHead(RandomCheckpoint checkpoint, string className, string family, bool old)
    {
        JsonObject config = checkpoint.Config;
        int labels = config["id2label"]?.AsObject().Count ?? (int?)config["num_labels"] ?? 2;
        if (className.EndsWith("ForMaskedLM", StringComparison.Ordinal))
        {
            string[] names = family switch
            {
                "Bert" => ["cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias", "cls.predictions.decoder.weight"],
                "DistilBert" => ["vocab_transform", "vocab_layer_norm", "vocab_projector.bias", "vocab_projector.weight"],
                _ => ["lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder.weight"],
            };
            Linear(checkpoint, names[0], 24, 24);
            Norm(checkpoint, names[1], old);
            checkpoint.Add(names[2], 0.5, 0, Vocabulary);
            if (!((bool?)config["tie_word_embeddings"] ?? true))
            {
                checkpoint.Add(names[3], 0.4, 0, Vocabulary, 24);
            }
        }
        else if (className.EndsWith("ForTokenClassification", StringComparison.Ordinal))
        {
            Linear(checkpoint, "classifier", labels, 24);
        }
        else if (className.EndsWith("ForQuestionAnswering", StringComparison.Ordinal))
        {
            Linear(checkpoint, "qa_outputs", 2, 24);
        }
        else if (className.EndsWith("ForSequenceClassification", StringComparison.Ordinal))
        {
            bool bert = family is "Bert" or "DistilBert";
            if (family != "Bert")
            {
                Linear(checkpoint, bert ? "pre_classifier" : "classifier.dense", 24, 24);
            }

            Linear(checkpoint, bert ? "classifier" : "classifier.out_proj", labels, 24);
        }
    }
}
