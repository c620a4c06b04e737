using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>Which tensors of a checkpoint are weights of linear layers, by their names and shapes.</summary>
internal static class LinearNames
{
    private const string Suffix = ".weight";

    /// <summary>Last parts of the names of matrices that are looked up, not multiplied with.</summary>
    private static readonly string[] Embeddings = ["embed_tokens", "wte", "wpe", "word_embeddings", "embeddings", "tok_embeddings", "embed_in"];

    /// <summary>A matrix named <c>module.weight</c> that is no embedding.</summary>
    public static bool IsLinear(Tensor tensor)
    {
        if (tensor.Shape.Rank != 2 || !tensor.Name.EndsWith(Suffix, StringComparison.Ordinal))
        {
            return false;
        }

        string module = tensor.Name[..^Suffix.Length];
        return !Embeddings.Contains(module[(module.LastIndexOf('.') + 1)..], StringComparer.Ordinal);
    }

    /// <summary>The output layer, which runtimes do not load quantised.</summary>
    public static bool IsHead(string module) => module == "lm_head" || module.EndsWith(".lm_head", StringComparison.Ordinal);
}
