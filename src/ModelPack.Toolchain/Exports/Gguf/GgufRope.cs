using ModelPack.Architectures;
using ModelPack.Containers.Gguf;

namespace ModelPack.Toolchain;

/// <summary>Rotary embeddings in the keys of llama.cpp.</summary>
internal static class GgufRope
{
    /// <summary>Base where nothing is said.</summary>
    public const double DefaultTheta = 10000;

    /// <summary>Writes the keys.</summary>
    /// <param name="config">The checkpoint's configuration.</param>
    /// <param name="scaling">Its section about rotary embeddings; null for none.</param>
    /// <param name="fallback">Base where neither says one.</param>
    /// <param name="architecture">Prefix of the keys.</param>
    /// <param name="headDim">Elements of a head that are turned.</param>
    /// <param name="metadata">Takes them.</param>
    /// <returns>Factors that the frequencies are divided by [headDim / 2], for scaling as in Llama 3; null for none.</returns>
    /// <exception cref="ModelPackException">MP1503, MP4107.</exception>
    public static float[]? Describe(ModelConfig config, ModelConfig? scaling, double fallback, string architecture, int headDim, GgufMetadata metadata)
    {
        double theta = config.Has("rope_theta") ? config.Number("rope_theta") : scaling?.Number("rope_theta", fallback) ?? fallback;
        metadata.Add($"{architecture}.rope.freq_base", (float)theta);
        if ((double?)config.OptionalNumber("partial_rotary_factor") is double part and not 1 && architecture != "phi3")
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, FormattableString.Invariant($"config.json: 'partial_rotary_factor' is {part}; {architecture} of llama.cpp turns whole heads"));
        }

        string type = scaling is null ? "default" : scaling.Text("rope_type") ?? scaling.Text("type") ?? "default";
        switch (type)
        {
            case "default":
                return null;
            case "linear":
                metadata.Add($"{architecture}.rope.scaling.type", "linear");
                metadata.Add($"{architecture}.rope.scaling.factor", (float)scaling!.Number("factor"));
                return null;
            case "yarn" when !scaling!.Has("beta_fast") && !scaling.Has("beta_slow") && !scaling.Has("attention_factor") && !scaling.Has("mscale"):
                metadata.Add($"{architecture}.rope.scaling.type", "yarn");
                metadata.Add($"{architecture}.rope.scaling.factor", (float)scaling.Number("factor"));
                metadata.Add($"{architecture}.rope.scaling.original_context_length", (uint)scaling.Positive("original_max_position_embeddings"));
                return null;
            case "longrope" when architecture == "phi3":
                double longest = config.Positive("max_position_embeddings");
                double trained = scaling!.Positive("original_max_position_embeddings", config.Positive("original_max_position_embeddings", (long)longest));
                double factor = scaling.Has("factor") ? scaling.Number("factor") : longest / trained;
                double attention = scaling.Has("attention_factor") ? scaling.Number("attention_factor") : factor <= 1 ? 1 : Math.Sqrt(1 + (DeterministicLog.Of(factor) / DeterministicLog.Of(trained)));
                metadata.Add($"{architecture}.rope.scaling.original_context_length", (uint)trained);
                metadata.Add($"{architecture}.rope.scaling.attn_factor", (float)attention);
                return null;
            case "llama3":
                return Llama3(scaling!, theta, headDim);
            default:
                throw new ModelPackException(ErrorCodes.ExportNotPossible, $"config.json: rotary embeddings of type '{type}' with these settings are not written as GGUF");
        }
    }

    /// <summary>LongRoPE's divisors of the frequencies as the tensors of a file, for texts up to the original length and for longer ones; none for other rotary embeddings.</summary>
    /// <param name="config">The checkpoint's configuration.</param>
    /// <param name="pairs">Frequencies.</param>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public static IEnumerable<(string Name, float[] Values)> LongFactors(ModelConfig config, int pairs)
    {
        ModelConfig? scaling = config.Section("rope_scaling") ?? config.Section("rope_parameters");
        if ((scaling?.Text("rope_type") ?? scaling?.Text("type")) != "longrope")
        {
            yield break;
        }

        foreach (string kind in (string[])["long", "short"])
        {
            IReadOnlyList<double> factors = scaling!.Numbers($"{kind}_factor");
            yield return factors.Count == pairs
                ? ($"rope_factors_{kind}.weight", [.. factors.Select(f => (float)f)])
                : throw scaling.Wrong($"{kind}_factor", $"has {factors.Count} numbers for {pairs} frequencies");
        }
    }

    /// <summary>Long waves are stretched by the factor, short ones not at all, those between partly.</summary>
    internal static float[] Llama3(ModelConfig scaling, double theta, int headDim)
    {
        double factor = scaling.Number("factor");
        double low = scaling.Number("low_freq_factor");
        double high = scaling.Number("high_freq_factor");
        double original = scaling.Positive("original_max_position_embeddings");
        float[] factors = new float[headDim / 2];
        for (int i = 0; i < factors.Length; i++)
        {
            double wavelength = 2 * Math.PI * DeterministicPower.Of(theta, 2.0 * i / headDim);
            double smooth = ((original / wavelength) - low) / (high - low);
            factors[i] = (float)(wavelength < original / high ? 1 : wavelength > original / low ? factor : 1 / (((1 - smooth) / factor) + smooth));
        }

        return factors;
    }
}
