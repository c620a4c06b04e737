using System.Collections.Immutable;

namespace ModelPack.Architectures.Decoder;

/// <summary>
/// Rotary position embedding: channels i and i + dim/2 of a head are turned by position * frequency i (the rotate-half form). The variants are those of transformers' <c>modeling_rope_utils.py</c>; frequencies
/// are computed in double precision and rounded once.
/// </summary>
/// <param name="InverseFrequencies">One per pair of channels, radians per position.</param>
/// <param name="Scale">Factor of cosines and sines (YaRN's attention factor; 1 otherwise).</param>
internal sealed record RotaryEmbedding(ImmutableArray<float> InverseFrequencies, float Scale)
{
    /// <summary>Reads the parameters of a configuration and computes the frequencies.</summary>
    /// <param name="config">The configuration: <c>max_position_embeddings</c>, and <c>rope_theta</c> where the parameters have none.</param>
    /// <param name="parameters"><c>rope_scaling</c> or <c>rope_parameters</c>; null for the plain form.</param>
    /// <param name="theta">Base where the parameters give none.</param>
    /// <param name="headDim">Channels of a head.</param>
    /// <exception cref="ModelPackException">MP1503; MP1505: a variant that is not built.</exception>
    public static RotaryEmbedding Read(ModelConfig config, ModelConfig? parameters, double theta, long headDim)
    {
        double partial = parameters?.Has("partial_rotary_factor") == true ? parameters.Number("partial_rotary_factor") : config.Number("partial_rotary_factor", 1);
        int dim = (int)(headDim * partial);
        if (dim < 2 || dim > headDim || dim % 2 != 0)
        {
            throw config.Wrong("head_dim", $"and partial_rotary_factor turn {dim} channels of {headDim}; an even number from 2 on is needed");
        }

        theta = parameters?.Has("rope_theta") == true ? parameters.Number("rope_theta") : theta;
        double[] plain = [.. Enumerable.Range(0, dim / 2).Select(i => DeterministicPower.Of(theta, -2.0 * i / dim))];
        string kind = parameters?.Text("rope_type") ?? parameters?.Text("type") ?? "default";
        RotaryEmbedding embedding = kind switch
        {
            // Dynamic scaling changes nothing up to the length the model was trained for, which is the length the graph is built for; the same for LongRoPE's second set of factors.
            "default" or "dynamic" => Round(plain, 1),
            "linear" => Round([.. plain.Select(f => f / parameters!.Number("factor"))], 1),
            "llama3" => Round(Llama3(plain, parameters!), 1),
            "yarn" => Yarn(plain, parameters!, config, theta, dim),
            "longrope" => LongRope(plain, parameters!, config),
            _ => throw (parameters ?? config).Unsupported("rope_type", $"is '{kind}'; there are: default, linear, llama3, yarn, and dynamic and longrope up to their original length"),
        };
        return float.IsFinite(embedding.Scale) && embedding.InverseFrequencies.All(float.IsFinite)
            ? embedding
            : throw (parameters ?? config).Wrong("rope_theta", "and what scales it give frequencies beyond f32");
    }

    private static RotaryEmbedding Round(double[] frequencies, double scale) => new([.. frequencies.Select(f => (float)f)], (float)scale);

    /// <summary>Llama 3.1: long waves slower by the factor, short ones as they are, those between interpolated.</summary>
    private static double[] Llama3(double[] plain, ModelConfig parameters)
    {
        double factor = parameters.Number("factor");
        double low = parameters.Number("low_freq_factor");
        double high = parameters.Number("high_freq_factor");
        double length = parameters.Positive("original_max_position_embeddings");
        if (high <= low)
        {
            throw parameters.Wrong("high_freq_factor", "must be above low_freq_factor");
        }

        return [.. plain.Select(frequency =>
        {
            double waves = length * frequency / (2 * Math.PI); // how often the wave fits into the original length
            double smooth = Math.Clamp((waves - low) / (high - low), 0, 1);
            return ((1 - smooth) * frequency / factor) + (smooth * frequency);
        })];
    }

    /// <summary>YaRN (arXiv 2309.00071): a ramp over the channels between interpolation and extrapolation.</summary>
    private static RotaryEmbedding Yarn(double[] plain, ModelConfig parameters, ModelConfig config, double theta, int dim)
    {
        double original = parameters.Positive("original_max_position_embeddings", config.Positive("max_position_embeddings"));
        double factor = parameters.Has("factor") ? parameters.Number("factor") : config.Positive("max_position_embeddings") / original;
        double Turning(double rotations) => dim * DeterministicLog.Of(original / (rotations * 2 * Math.PI)) / (2 * DeterministicLog.Of(theta));
        double low = Turning(parameters.Number("beta_fast", 32));
        double high = Turning(parameters.Number("beta_slow", 1));
        if (parameters.Flag("truncate", true))
        {
            low = Math.Floor(low);
            high = Math.Ceiling(high);
        }

        if (!double.IsFinite(low) || !double.IsFinite(high))
        {
            throw parameters.Wrong("beta_fast", $"and a base of {theta} give no range of channels");
        }

        low = Math.Max(low, 0);
        high = Math.Min(high, dim - 1);
        high = high == low ? high + 0.001 : high;
        double[] frequencies = [.. plain.Select((frequency, i) =>
        {
            double ramp = Math.Clamp((i - low) / (high - low), 0, 1);
            return (frequency / factor * ramp) + (frequency * (1 - ramp));
        })];
        return Round(frequencies, parameters.Has("attention_factor") ? parameters.Number("attention_factor") : AttentionFactor(parameters, factor));
    }

    /// <summary>LongRoPE (arXiv 2402.13753): a divisor per frequency, here those for texts up to the original length.</summary>
    private static RotaryEmbedding LongRope(double[] plain, ModelConfig parameters, ModelConfig config)
    {
        double longest = config.Positive("max_position_embeddings");
        double original = parameters.Positive("original_max_position_embeddings", config.Positive("original_max_position_embeddings", (long)longest));
        double factor = parameters.Has("factor") ? parameters.Number("factor") : longest / original;
        IReadOnlyList<double> divisors = parameters.Numbers("short_factor");
        if (divisors.Count != plain.Length)
        {
            throw parameters.Wrong("short_factor", $"has {divisors.Count} numbers for {plain.Length} frequencies");
        }

        double scale = parameters.Has("attention_factor") ? parameters.Number("attention_factor")
            : factor <= 1 ? 1
            : Math.Sqrt(1 + (DeterministicLog.Of(factor) / DeterministicLog.Of(original)));
        return Round([.. plain.Select((frequency, i) => frequency / divisors[i])], scale);
    }

    private static double AttentionFactor(ModelConfig parameters, double factor)
    {
        double Of(double scale) => factor <= 1 ? 1 : (0.1 * scale * DeterministicLog.Of(factor)) + 1;
        return parameters.Has("mscale") && parameters.Has("mscale_all_dim") ? Of(parameters.Number("mscale")) / Of(parameters.Number("mscale_all_dim")) : Of(1);
    }
}
