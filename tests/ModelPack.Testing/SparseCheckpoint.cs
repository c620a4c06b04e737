using System.Globalization;
using System.Text;

namespace ModelPack.Testing;

/// <summary>Makes checkpoint folders of any size that take next to no disk: a Llama in bf16 shards whose tensors are zeros but for some noise at their beginnings.</summary>
public static class SparseCheckpoint
{
    private const int NoiseBytes = 1 << 14;

    /// <summary>Writes config.json, shards and index.</summary>
    /// <param name="folder">Made if it is missing.</param>
    /// <param name="hidden">Width of the residual stream, a multiple of 128: heads have 128.</param>
    /// <param name="intermediate">Width of the MLP.</param>
    /// <param name="layers">Number of layers.</param>
    /// <param name="vocabulary">Rows of the embedding and the head.</param>
    /// <param name="shardBytes">Most bytes of a shard.</param>
    /// <returns>Bytes of all tensors.</returns>
    public static long Write(string folder, int hidden, int intermediate, int layers, int vocabulary, long shardBytes)
    {
        int heads = hidden / 128;
        int kv = Math.Max(1, heads / 8);
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), FormattableString.Invariant(
            $$"""{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":{{hidden}},"intermediate_size":{{intermediate}},"num_hidden_layers":{{layers}},"num_attention_heads":{{heads}},"num_key_value_heads":{{kv}},"head_dim":128,"vocab_size":{{vocabulary}},"max_position_embeddings":4096,"rms_norm_eps":1e-5,"rope_theta":500000.0,"hidden_act":"silu","tie_word_embeddings":false,"torch_dtype":"bfloat16"}"""));
        var tensors = new List<(string Name, long[] Shape)> { ("model.embed_tokens.weight", [vocabulary, hidden]) };
        for (int l = 0; l < layers; l++)
        {
            string p = string.Create(CultureInfo.InvariantCulture, $"model.layers.{l}.");
            tensors.Add((p + "input_layernorm.weight", [hidden]));
            tensors.Add((p + "mlp.down_proj.weight", [hidden, intermediate]));
            tensors.Add((p + "mlp.gate_proj.weight", [intermediate, hidden]));
            tensors.Add((p + "mlp.up_proj.weight", [intermediate, hidden]));
            tensors.Add((p + "post_attention_layernorm.weight", [hidden]));
            tensors.Add((p + "self_attn.k_proj.weight", [kv * 128, hidden]));
            tensors.Add((p + "self_attn.o_proj.weight", [hidden, hidden]));
            tensors.Add((p + "self_attn.q_proj.weight", [hidden, hidden]));
            tensors.Add((p + "self_attn.v_proj.weight", [kv * 128, hidden]));
        }

        tensors.Add(("model.norm.weight", [hidden]));
        tensors.Add(("lm_head.weight", [vocabulary, hidden]));
        var shards = new List<List<(string Name, long[] Shape)>> { new() };
        long used = 0;
        long total = 0;
        foreach ((string Name, long[] Shape) tensor in tensors)
        {
            long bytes = Bytes(tensor.Shape);
            if (shards[^1].Count > 0 && used + bytes > shardBytes)
            {
                shards.Add([]);
                used = 0;
            }

            shards[^1].Add(tensor);
            used += bytes;
            total += bytes;
        }

        var map = new StringBuilder();
        for (int s = 0; s < shards.Count; s++)
        {
            string file = string.Create(CultureInfo.InvariantCulture, $"model-{s + 1:D5}-of-{shards.Count:D5}.safetensors");
            WriteShard(Path.Combine(folder, file), shards[s], (ulong)s * 1000);
            map.AppendJoin(',', shards[s].Select(t => $"\"{t.Name}\":\"{file}\"")).Append(s + 1 < shards.Count ? "," : "");
        }

        File.WriteAllText(Path.Combine(folder, "model.safetensors.index.json"), FormattableString.Invariant($$$"""{"metadata":{"total_size":{{{total}}}},"weight_map":{{{{map}}}}}"""));
        return total;
    }

    private static long Bytes(long[] shape) => 2 * shape.Aggregate(1L, (a, b) => a * b);

    private static void WriteShard(string path, List<(string Name, long[] Shape)> tensors, ulong seed)
    {
        var header = new StringBuilder("{\"__metadata__\":{\"format\":\"pt\"}");
        long at = 0;
        foreach ((string name, long[] shape) in tensors)
        {
            header.Append(CultureInfo.InvariantCulture, $",\"{name}\":{{\"dtype\":\"BF16\",\"shape\":[{string.Join(',', shape)}],\"data_offsets\":[{at},{at += Bytes(shape)}]}}");
        }

        byte[] json = Encoding.ASCII.GetBytes(header.Append('}').ToString().PadRight((header.Length + 8) / 8 * 8));
        var pieces = new List<(long, byte[])> { (0, BitConverter.GetBytes((long)json.Length)), (8, json) };
        long data = 8 + json.Length;
        foreach ((_, long[] shape) in tensors)
        {
            byte[] noise = new byte[Math.Min(NoiseBytes, Bytes(shape))];
            new SplitMix(++seed).Fill(noise);
            for (int k = 1; k < noise.Length; k += 2)
            {
                noise[k] = (byte)(0x3C | (noise[k] & 0x83)); // Magnitudes around 0.01 to 2: no NaN, no infinity.
            }

            pieces.Add((data, noise));
            data += Bytes(shape);
        }

        SparseFile.Create(path, data, [.. pieces]);
    }
}
