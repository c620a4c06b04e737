using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>What each weight is for, judged by the operator that reads it and, for checkpoints without a graph, by its name.</summary>
internal static class TensorKinds
{
    private static readonly (string Kind, string[] Words)[] ByName =
    [
        ("norm", ["norm", "ln_", "layernorm", "bn.", "batchnorm"]),
        ("head", ["lm_head", "classifier", "score", "output.weight"]),
        ("embedding", ["embed", "wte", "wpe", "token_embd"]),
        ("attention", ["attn", "attention", "q_proj", "k_proj", "v_proj", "o_proj", "qkv", "query", "key", "value"]),
        ("mlp", ["mlp", "ffn", "feed_forward", "gate_proj", "up_proj", "down_proj", "fc1", "fc2", "intermediate"]),
    ];

    /// <summary>Kind of every named tensor of the main graph.</summary>
    public static Dictionary<string, string> Classify(Model model)
    {
        var operators = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (Node node in model.Graph.Nodes)
        {
            foreach (string input in node.Inputs)
            {
                operators.TryAdd(input, node.OpType);
            }
        }

        return model.Graph.Initializers.ToDictionary(
            t => t.Name,
            t => KindOf(t, operators.GetValueOrDefault(t.Name, "")),
            StringComparer.Ordinal);
    }

    private static string KindOf(Tensor tensor, string op)
    {
        if (!tensor.DType.IsFloat())
        {
            return "other";
        }

        string name = tensor.Name.ToLowerInvariant();
        foreach ((string kind, string[] words) in ByName)
        {
            bool named = words.Any(w => name.Contains(w, StringComparison.Ordinal));
            if (named && (tensor.Shape.Rank >= 2 || kind == "norm"))
            {
                return kind;
            }
        }

        return op switch
        {
            "Conv" or "ConvTranspose" => tensor.Shape.Rank > 1 ? "conv" : "bias",
            "Gather" => "embedding",
            "MatMul" or "Gemm" when tensor.Shape.Rank >= 2 => "matmul",
            "LSTM" or "GRU" or "RNN" => "recurrent",
            _ => tensor.Shape.Rank >= 2 ? "matrix" : "vector",
        };
    }
}
