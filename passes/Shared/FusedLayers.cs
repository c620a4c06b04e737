namespace ModelPack.Passes;

/// <summary>Linear layers that runtimes compute as one: they must be quantised alike, down to a scale of the whole tensor.</summary>
public static class FusedLayers
{
    private static readonly string[][] Kinds = [["q_proj", "k_proj", "v_proj"], ["gate_proj", "up_proj"], ["w1", "w3"]];

    /// <summary>What a layer is fused under: equal for the layers of one product; null for a layer of its own.</summary>
    /// <param name="module">Its name, for example <c>model.layers.0.self_attn.q_proj</c>.</param>
    public static string? Key(string module)
    {
        int dot = module.LastIndexOf('.');
        string last = module[(dot + 1)..];
        return Array.Find(Kinds, k => k.Contains(last, StringComparer.Ordinal)) is string[] kind ? $"{module[..(dot + 1)]}{string.Join('+', kind)}" : null;
    }
}
