using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using ModelPack.Testing;

namespace ModelPack.Benchmarks.Generation;

/// <summary>A checkpoint in the shape of Llama 3.2 1B with random weights: 16 layers, 2048 hidden, 1.24 billion parameters in bf16, 2.5 GB. Speed and memory of generation do not depend on what the weights are.</summary>
internal static class SyntheticLlama
{
    private const int Hidden = 2048;
    private const int Intermediate = 8192;
    private const int Layers = 16;
    private const int Heads = 32;
    private const int KeyValueHeads = 8;
    private const int HeadDim = 64;
    private const int Vocabulary = 128_256;

    /// <summary>Writes config.json, model.safetensors and, so that it takes a prompt, the tokenizer of the sample model.</summary>
    public static int Write(string folder)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), FormattableString.Invariant(
            $$"""{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":{{Hidden}},"intermediate_size":{{Intermediate}},"num_hidden_layers":{{Layers}},"num_attention_heads":{{Heads}},"num_key_value_heads":{{KeyValueHeads}},"head_dim":{{HeadDim}},"vocab_size":{{Vocabulary}},"max_position_embeddings":4096,"rms_norm_eps":1e-5,"rope_theta":500000.0,"hidden_act":"silu","tie_word_embeddings":true,"torch_dtype":"bfloat16"}"""));
        File.Copy(RepositoryTree.PathTo("samples", "models", "tinyllama", "tokenizer.json"), Path.Combine(folder, "tokenizer.json"), overwrite: true);
        var tensors = new List<(string Name, long Rows, long Columns)> { ("model.embed_tokens.weight", Vocabulary, Hidden), ("model.norm.weight", Hidden, 0) };
        for (int l = 0; l < Layers; l++)
        {
            string p = string.Create(CultureInfo.InvariantCulture, $"model.layers.{l}.");
            tensors.AddRange(
            [
                (p + "input_layernorm.weight", Hidden, 0), (p + "post_attention_layernorm.weight", Hidden, 0),
                (p + "self_attn.q_proj.weight", Heads * HeadDim, Hidden), (p + "self_attn.k_proj.weight", KeyValueHeads * HeadDim, Hidden),
                (p + "self_attn.v_proj.weight", KeyValueHeads * HeadDim, Hidden), (p + "self_attn.o_proj.weight", Hidden, Heads * HeadDim),
                (p + "mlp.gate_proj.weight", Intermediate, Hidden), (p + "mlp.up_proj.weight", Intermediate, Hidden), (p + "mlp.down_proj.weight", Hidden, Intermediate),
            ]);
        }

        var header = new StringBuilder("{\"__metadata__\":{\"format\":\"pt\"}");
        long at = 0;
        foreach ((string name, long rows, long columns) in tensors)
        {
            long bytes = 2 * rows * Math.Max(1, columns);
            header.Append(CultureInfo.InvariantCulture, $",\"{name}\":{{\"dtype\":\"BF16\",\"shape\":[{(columns == 0 ? $"{rows}" : $"{rows},{columns}")}],\"data_offsets\":[{at},{at += bytes}]}}");
        }

        byte[] json = Encoding.ASCII.GetBytes(header.Append('}').ToString().PadRight((header.Length + 8) / 8 * 8));
        using FileStream file = File.Create(Path.Combine(folder, "model.safetensors"));
        file.Write(BitConverter.GetBytes((long)json.Length));
        file.Write(json);
        var random = new SplitMix(1);
        byte[] tile = new byte[1 << 20];
        foreach ((_, long rows, long columns) in tensors)
        {
            for (long left = 2 * rows * Math.Max(1, columns); left > 0; left -= tile.Length)
            {
                Span<byte> part = tile.AsSpan(0, (int)Math.Min(left, tile.Length));
                random.Fill(part);
                foreach (ref ushort value in MemoryMarshal.Cast<byte, ushort>(part))
                {
                    // 2^-7 to 2^-5 of either sign, near 1 / sqrt(hidden); gains are 1.
                    value = columns == 0 ? (ushort)0x3F80 : (ushort)((value & 0x80FF) | 0x3C00);
                }

                file.Write(part);
            }
        }

        return 0;
    }
}
