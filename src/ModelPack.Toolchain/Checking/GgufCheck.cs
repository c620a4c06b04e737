using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>A GGUF file for llama.cpp.</summary>
/// <remarks>Source: llama.cpp, <c>src/llama-model.cpp</c> (load_hparams, load_tensors) and <c>src/llama-vocab.cpp</c>.</remarks>
internal static class GgufCheck
{
    private const int MaxNameBytes = 63;

    private static readonly string[] LayerWeights = ["attn_norm", "attn_output", "ffn_norm", "ffn_down"];

    public static (string Format, int Tensors) Run(string path, Findings findings, CancellationToken cancellation)
    {
        IContainer container = Containers.Containers.Get("gguf");
        if (!container.Recognizes(path))
        {
            findings.Error("wrong-kind", "llama.cpp loads .gguf files");
            return ("none", 0);
        }

        try
        {
            using ImportedModel imported = container.Import(path, cancellation);
            var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach ((string key, string value) in imported.Model.Metadata)
            {
                metadata.TryAdd(key, value);
            }

            Dictionary<string, Tensor> tensors = imported.Model.Graph.Initializers.ToDictionary(t => t.Name, StringComparer.Ordinal);
            Check(metadata, tensors, findings);
            CheckScales(tensors.Values, findings, cancellation);
            return (metadata.GetValueOrDefault("general.file_type") is string type ? $"file_type {type}" : "none", tensors.Count);
        }
        catch (ModelPackException e)
        {
            findings.Error(e);
            return ("unknown", 0);
        }
    }

    private static void Check(Dictionary<string, string> metadata, Dictionary<string, Tensor> tensors, Findings findings)
    {
        if (metadata.GetValueOrDefault("general.architecture") is not string architecture)
        {
            findings.Error("key-missing", "'general.architecture' is missing");
            return;
        }

        foreach (string key in new[] { "context_length", "embedding_length", "block_count", "attention.layer_norm_rms_epsilon" })
        {
            if (!metadata.ContainsKey($"{architecture}.{key}") && !(key.EndsWith("epsilon", StringComparison.Ordinal) && metadata.ContainsKey($"{architecture}.attention.layer_norm_epsilon")))
            {
                findings.Error("key-missing", $"'{architecture}.{key}' is missing");
            }
        }

        long? Number(string key) => long.TryParse(metadata.GetValueOrDefault($"{architecture}.{key}"), NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : null;
        CheckHeads(Number, architecture, findings);
        CheckTokenizer(metadata, tensors, Number("vocab_size"), findings);
        if (tensors.GetValueOrDefault("token_embd.weight") is not Tensor embedding)
        {
            findings.Error("tensor-missing", "llama.cpp needs it", "token_embd.weight");
        }
        else if (Number("embedding_length") is long width && embedding.Shape.Columns != width)
        {
            findings.Error("shape-mismatch", $"has rows of {embedding.Shape.Columns}, '{architecture}.embedding_length' is {width}", embedding.Name);
        }

        for (long layer = 0; layer < Math.Min(Number("block_count") ?? 0, 10_000); layer++)
        {
            foreach (string part in LayerWeights.Where(p => !tensors.ContainsKey($"blk.{layer}.{p}.weight") && !tensors.ContainsKey($"blk.{layer}.{p}_exps.weight")))
            {
                findings.Error("tensor-missing", "llama.cpp needs it", $"blk.{layer}.{part}.weight");
            }
        }

        foreach (Tensor tensor in tensors.Values.Where(t => System.Text.Encoding.UTF8.GetByteCount(t.Name) > MaxNameBytes))
        {
            findings.Error("name-too-long", $"has a name of more than {MaxNameBytes} bytes", tensor.Name);
        }

        foreach (Tensor tensor in tensors.Values.Where(t => t.Shape.Rank == 1 && t.Name.EndsWith("norm.weight", StringComparison.Ordinal) && !(t.TryGetRawData(out _) && t.DType == DType.F32)))
        {
            findings.Error("norm-dtype", "is not F32: llama.cpp multiplies norms in F32 alone", tensor.Name);
        }

        if (tensors.Values.Any(t => !t.TryGetRawData(out _)) && metadata.GetValueOrDefault("general.quantization_version") != "2")
        {
            findings.Error("key-missing", "'general.quantization_version' is not 2, but weights are quantised");
        }
    }

    private static void CheckHeads(Func<string, long?> number, string architecture, Findings findings)
    {
        if (number("attention.head_count") is not (> 0 and long heads) || number("embedding_length") is not long width)
        {
            findings.Error("key-missing", $"'{architecture}.attention.head_count' is missing");
            return;
        }

        long dim = number("attention.key_length") ?? width / heads;
        if (architecture == "llama" && number("rope.dimension_count") is long rotary && rotary != dim)
        {
            findings.Error("rope-dimension", $"'llama.rope.dimension_count' is {rotary}, heads have {dim} elements: llama.cpp refuses the model");
        }

        if (number("attention.head_count_kv") is > 0 and long groups && heads % groups != 0)
        {
            findings.Error("heads-do-not-divide", $"{heads} heads of queries are no multiple of {groups} of keys");
        }
    }

    private static void CheckTokenizer(Dictionary<string, string> metadata, Dictionary<string, Tensor> tensors, long? vocabularySize, Findings findings)
    {
        long? Items(string key) => metadata.GetValueOrDefault(key) is string value && long.TryParse(value.Split(' ')[0], NumberStyles.None, CultureInfo.InvariantCulture, out long count) ? count : null;
        if (metadata.GetValueOrDefault("tokenizer.ggml.model") is not string model || Items("tokenizer.ggml.tokens") is not long tokens)
        {
            findings.Error("tokenizer-missing", "'tokenizer.ggml.model' or 'tokenizer.ggml.tokens' is missing");
            return;
        }

        if (model == "gpt2" && Items("tokenizer.ggml.merges") is null)
        {
            findings.Error("tokenizer-missing", "a gpt2 tokenizer needs 'tokenizer.ggml.merges'");
        }

        if (model == "gpt2" && !metadata.ContainsKey("tokenizer.ggml.pre"))
        {
            findings.Warning("tokenizer-pre", "'tokenizer.ggml.pre' is missing: text is taken apart as for GPT-2");
        }

        foreach (string key in new[] { "token_type", "scores" })
        {
            if (Items($"tokenizer.ggml.{key}") is long count && count != tokens)
            {
                findings.Error("vocabulary-mismatch", $"'tokenizer.ggml.{key}' has {count} items for {tokens} tokens");
            }
        }

        if (vocabularySize is long size && size != tokens)
        {
            findings.Error("vocabulary-mismatch", $"there are {tokens} tokens for a vocabulary of {size}");
        }

        if (tensors.GetValueOrDefault("token_embd.weight") is Tensor embedding && embedding.Shape.Rows != tokens)
        {
            findings.Error("vocabulary-mismatch", $"has {embedding.Shape.Rows} rows for {tokens} tokens", embedding.Name);
        }

        foreach (string key in new[] { "bos", "eos", "padding", "unknown" })
        {
            if (long.TryParse(metadata.GetValueOrDefault($"tokenizer.ggml.{key}_token_id"), NumberStyles.None, CultureInfo.InvariantCulture, out long id) && id >= tokens)
            {
                findings.Error("vocabulary-mismatch", $"'tokenizer.ggml.{key}_token_id' is {id}, there are {tokens} tokens");
            }
        }
    }

    /// <summary>Plain numbers, and the f16 scales that blocks of these types begin with.</summary>
    private static void CheckScales(IEnumerable<Tensor> tensors, Findings findings, CancellationToken cancellation)
    {
        foreach (Tensor tensor in tensors)
        {
            cancellation.ThrowIfCancellationRequested();
            if (tensor.TryGetRawData(out TensorData data))
            {
                new CheckedTensor(tensor.Name, tensor.DType, tensor.Shape, data).Scan(out bool notFinite, out _, cancellation);
                if (notFinite)
                {
                    findings.Error("value-not-finite", "holds NaN or infinity", tensor.Name);
                }

                continue;
            }

            (int bytes, int at, int scales) = (tensor.Encoding as DenseEncoding)?.Format.Id switch
            {
                "gguf-q4_0" => (18, 0, 1),
                "gguf-q4_1" => (20, 0, 2),
                "gguf-q5_0" => (22, 0, 1),
                "gguf-q8_0" => (34, 0, 1),
                "gguf-q4_k" => (144, 0, 2),
                "gguf-q6_k" => (210, 208, 1),
                "gguf-tq1_0" => (54, 52, 1),
                "gguf-tq2_0" => (66, 64, 1),
                "gguf-mxfp4" => (17, 0, 0),
                _ => (0, 0, 0),
            };
            if (bytes > 0 && HasBadScale(((DenseEncoding)tensor.Encoding).Streams[0].Data, bytes, at, scales))
            {
                findings.Error("scale-not-finite", "holds a block whose scale is NaN or infinite", tensor.Name);
            }
        }
    }

    private static bool HasBadScale(TensorData data, int bytes, int at, int scales)
    {
        byte[] tile = new byte[bytes * 4096];
        for (long offset = 0; offset < data.LengthBytes; offset += tile.Length)
        {
            Span<byte> part = tile.AsSpan(0, (int)Math.Min(tile.Length, data.LengthBytes - offset));
            data.Read(offset, part);
            for (int block = 0; block + bytes <= part.Length; block += bytes)
            {
                // No f16 scales: MXFP4, whose first byte is an E8M0 number.
                bool bad = scales == 0 && part[block] == 0xFF;
                for (int s = 0; s < scales; s++)
                {
                    bad |= (BitConverter.ToUInt16(part[(block + at + (s * 2))..]) & 0x7C00) == 0x7C00;
                }

                if (bad)
                {
                    return true;
                }
            }
        }

        return false;
    }
}
