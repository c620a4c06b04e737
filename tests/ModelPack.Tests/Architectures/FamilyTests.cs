using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Architectures;

/// <summary>Every family against plain loops written from its published definition.</summary>
public sealed class FamilyTests
{
    /// <summary>Logits reach 4 to 24; measured: 1e-6 to 9e-6.</summary>
    private const double Tolerance = 3e-5;

    public static TheoryData<string> Cases => [.. FamilyCases.Names];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_ofRandomModel_areThoseOfTheDefinition(string name)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        long[] ids = FamilyCases.Ids(2 * FamilyCases.Tokens, seed: 7);
        double[][] expected = [.. new ScalarDecoder(checkpoint).Run(ids[..FamilyCases.Tokens]), .. new ScalarDecoder(checkpoint).Run(ids[FamilyCases.Tokens..])];
        using var folder = new TempFolder();
        using ModelSession session = ModelInput.Open(checkpoint.Write(folder), new ModelSessionOptions { Threads = 1 });

        NamedTensor logits = session.Run(NamedTensor.Of("input_ids", ids, 2, FamilyCases.Tokens)).Single();

        Assert.Equal(["input_ids: i64[batch,seq]"], session.Inputs.Select(i => i.ToString()));
        Assert.Equal(new Shape(2, FamilyCases.Tokens, expected[0].Length), logits.Shape);
        double worst = WorstError(logits.Values<float>(), expected);
        Assert.True(worst < Tolerance, $"max abs error {worst}, logits up to {expected.Max(t => t.Max(Math.Abs))}");
    }

    /// <summary>Names of values that only say what the tensors show.</summary>
    private static readonly string[] Structural =
    [
        "architectures", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "tie_word_embeddings", "attention_bias", "mlp_bias",
        "max_position_embeddings", "rms_norm_eps", "hidden_activation", "num_local_experts", "num_experts", "moe_intermediate_size", "mlp_only_layers", "decoder_sparse_step",
        "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "n_routed_experts", "n_shared_experts", "first_k_dense_replace", "scoring_func",
    ];

    /// <summary>Values that are null, off, or what silence means as well: nothing to see.</summary>
    private static readonly (string Case, string Key)[] WithoutEffect =
    [
        ("llama dynamic", "rope_scaling"), ("mistral without window", "sliding_window"), ("phi4-mini, part of heads turned", "sliding_window"), ("phi3 longrope", "sliding_window"), ("phi3 longrope", "original_max_position_embeddings"),
        ("qwen2 window off", "use_sliding_window"), ("qwen2 window off", "sliding_window"), ("qwen2 window off", "max_window_layers"), ("bitnet", "rope_theta"),
    ];

    /// <summary>The cases show what they are made for: without any of its other settings a model gives other logits, by far more than the tolerance.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Settings_eachChangeTheLogits(string name)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        long[] ids = FamilyCases.Ids(FamilyCases.Tokens, seed: 7);
        double[][] all = new ScalarDecoder(checkpoint).Run(ids);
        foreach (string key in checkpoint.Config.Select(p => p.Key).Except(Structural).Where(k => !WithoutEffect.Contains((name, k))).ToArray())
        {
            RandomCheckpoint without = FamilyCases.Make(name);
            without.Config.Remove(key);
            if (key == "query_pre_attn_scalar")
            {
                without.Config[key] = 256.0;
            }
            else if (key == "rope_local_base_freq")
            {
                without.Config[key] = 10000.0;
            }

            double change = WorstError([.. new ScalarDecoder(without).Run(ids).SelectMany(t => t).Select(v => (float)v)], all);
            Assert.True(change > 100 * Tolerance, $"'{key}' changes the logits by {change} only");
        }
    }

    [Fact]
    public void Cases_coverTheCatalogue() =>
        Assert.Empty(ArchitectureCatalog.All.Select(a => a.ClassName).Except(FamilyCases.Classes).Except(EncoderCases.Classes));

    internal static double WorstError(ReadOnlySpan<float> actual, double[][] expected)
    {
        double worst = 0;
        for (int t = 0; t < expected.Length; t++)
        {
            for (int c = 0; c < expected[t].Length; c++)
            {
                double error = Math.Abs(actual[(t * expected[t].Length) + c] - expected[t][c]);
                worst = error <= worst ? worst : error; // A NaN is worse than all.
            }
        }

        return worst;
    }
}
