using System.Collections.Immutable;
using System.Text.Json;
using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;

namespace ModelPack.Toolchain;

/// <summary>
/// A folder for ONNX Runtime GenAI: model.onnx with its weights beside it, genai_config.json, and the checkpoint's tokenizer. The decoder is the artifact's own with stock operators; what GenAI hands over differs:
/// <code>
/// position_offset                   becomes the number of earlier tokens, Gather(Shape(past_key_values.0.key), 2): for the causal mask
/// attention_mask [batch, past+seq]  hides tokens besides the causal mask, Min(mask, Where(attention_mask == 0, least, 0)): GenAI fills shorter prompts of a batch up
/// position_ids [batch, seq]         what rotary embeddings turn by, in a batch one row per text: Unsqueeze to [batch, 1, seq, 1]. Windows are counted in them as well: a key is too old when its number,
///                                   CumSum(attention_mask) - 1, is
/// </code>
/// </summary>
/// <remarks>Source: onnxruntime-genai, <c>src/config.h</c>, <c>src/models/model_type.h</c>.</remarks>
internal static class GenAiExport
{
    /// <summary>Name of the model in the folder.</summary>
    public const string ModelFile = "model.onnx";

    /// <summary>Name of the configuration.</summary>
    public const string ConfigFile = "genai_config.json";

    private const string Mask = "attention_mask";
    private const string Positions = "position_ids";
    private const string Offset = "position_offset";
    private const string FirstPast = "past_key_values.0.key";
    private const string Scope = "genai";

    /// <summary>Kinds of models in whose handling GenAI has nothing special that our graphs do not do themselves; all others are a plain <c>decoder</c>.</summary>
    private static readonly Dictionary<string, string> Types = new(StringComparer.Ordinal)
    {
        ["LlamaForCausalLM"] = "llama",
        ["MistralForCausalLM"] = "mistral",
        ["Qwen2ForCausalLM"] = "qwen2",
        ["Qwen3ForCausalLM"] = "qwen3",
        ["Gemma2ForCausalLM"] = "gemma2",
        ["Gemma3ForCausalLM"] = "gemma3_text",
    };

    /// <summary>Writes the folder.</summary>
    /// <param name="model">The execution graph of an artifact with a cache.</param>
    /// <param name="folder">The folder.</param>
    /// <param name="warnings">Takes what a user should know.</param>
    /// <param name="progress">Told the tensors written.</param>
    /// <param name="cancellation">Stops; nothing is left behind.</param>
    /// <exception cref="ModelPackException">MP4116: no decoder with keys and values of earlier tokens as f32 or f16; MP1500 to MP1503: config.json is missing or wrong.</exception>
    public static IReadOnlyList<string> Write(Model model, string folder, List<string> warnings, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        Shape cache = CheckCache(model.Graph);
        ModelConfig config = ModelConfig.Read(model.Files);
        config = config.Section("text_config") ?? config;
        Model rewritten = model with { Graph = TakeMask(model.Graph), Files = [] };
        byte[] settings = Settings(ModelConfig.Read(model.Files), config, model, cache);
        if (!model.Files.Any(f => f.RelativePath == "tokenizer_config.json"))
        {
            warnings.Add("the checkpoint has no tokenizer_config.json, without which GenAI's tokenizer does not load; models take token ids all the same");
        }

        // The configuration gets its name last: a folder with a model and none is none of GenAI's.
        using var files = new AtomicFiles();
        files.AddFolder(folder);
        foreach (CarriedFile file in model.Files)
        {
            string path = Path.Join(folder, file.RelativePath);
            files.AddFolder(Path.GetDirectoryName(path)!);
            files.Add(path, stream => TensorCopy.Write(stream, file.RelativePath, file.Data, cancellation));
        }

        files.Add(Path.Join(folder, ConfigFile), stream => stream.Write(settings));
        IReadOnlyList<string> graph = OnnxModelWriter.Write(rewritten, Path.Join(folder, ModelFile), ExportProgress.Dense(rewritten, progress), new OnnxExportOptions { Weights = OnnxWeights.External }, cancellation);
        files.Commit();
        return [.. graph, .. files.Paths];
    }

    /// <returns>Layers, heads and channels of the cache.</returns>
    private static Shape CheckCache(Graph graph)
    {
        ModelPackException Refused(string why) => new(ErrorCodes.NoGenAiDecoder, why);
        ValueInfo[] past = [.. graph.FreeInputs().Where(i => i.Name.StartsWith("past_key_values.", StringComparison.Ordinal))];
        if (past.Length == 0 || !graph.FreeInputs().Any(i => i.Name == Offset))
        {
            throw Refused("the graph takes no keys and values of earlier tokens: compile the checkpoint folder with --kv-cache, or --kv-cache=f16");
        }

        if (graph.Nodes.FirstOrDefault(n => n.OpType == "GroupQueryAttention") is Node fused)
        {
            throw Refused($"'{fused.Name}' counts tokens itself, and GenAI fills prompts of a batch up: compile with --kv-cache or --kv-cache=f16");
        }

        if (past.FirstOrDefault(p => p.Type.DType is not (DType.F32 or DType.F16) || p.Name.EndsWith("_scale", StringComparison.Ordinal)) is ValueInfo other)
        {
            throw Refused($"'{other.Name}' is {other.Type.DType.Name()}; GenAI keeps keys and values as f32 or f16, without scales: compile with --kv-cache or --kv-cache=f16");
        }

        long[] sizes = [.. past.SelectMany(p => (long[])[p.Type.Dims[1].Value ?? 0, p.Type.Dims[3].Value ?? 0]).Distinct()];
        (long heads, long channels) = (past[0].Type.Dims[1].Value ?? 0, past[0].Type.Dims[3].Value ?? 0);
        return past.All(p => p.Type.Dims[1].Value == heads && p.Type.Dims[3].Value == channels) && sizes.All(s => s > 0)
            ? new Shape(past.Length / 2, heads, channels)
            : throw Refused("keys and values have different sizes (latent attention); GenAI has one size for both");
    }

    /// <summary>The graph with <c>attention_mask</c> and <c>position_ids</c> for <c>position_offset</c>.</summary>
    /// <exception cref="ModelPackException">MP4116: it has no causal mask or rotary embedding that is known.</exception>
    internal static Graph TakeMask(Graph graph)
    {
        var index = new GraphIndex(graph);
        Node[] masks = [.. graph.Nodes.Where(n => n.Is("Where") && n.Name.StartsWith("mask/", StringComparison.Ordinal))];
        Node[] casts = [.. graph.Nodes.Where(n => n.Is("Cast") && n.Name.StartsWith("rotary.", StringComparison.Ordinal))];
        Node[] columns = [.. casts.SelectMany(c => index.Uses(c.Outputs[0])).Select(u => u.Node)];
        Node[] windows = [.. graph.Nodes.Where(n => n.Is("LessOrEqual") && n.Name.StartsWith("mask/", StringComparison.Ordinal))];
        Node[] oldest = [.. windows.Select(w => index.Producer(w.Inputs[1])).OfType<Node>().Where(n => n.Is("Sub"))];
        if (oldest.Length != windows.Length || masks.Length == 0 || masks.Any(m => index.IsOutput(m.Outputs[0])) || casts.Length == 0 || columns.Any(c => !c.Is("Unsqueeze")))
        {
            throw new ModelPackException(ErrorCodes.NoGenAiDecoder, "a pass has changed the causal mask or the rotary embedding of the graph beyond recognition");
        }

        Tensor least = SmallConstants.Floats($"{Scope}/least", Shape.Scalar, [float.MinValue]);
        Tensor zero = SmallConstants.Floats($"{Scope}/zero", Shape.Scalar, [0f]);
        Tensor none = SmallConstants.Integers($"{Scope}/none", Shape.Scalar, [0]);
        Tensor one = SmallConstants.Integers($"{Scope}/one", Shape.Scalar, [1]);
        Tensor axis = SmallConstants.Integers($"{Scope}/axis", Shape.Scalar, [2]);
        Tensor axes = SmallConstants.Integers($"{Scope}/axes", new Shape(2), [1, 2]);
        Tensor column = SmallConstants.Integers($"{Scope}/column", new Shape(2), [1, 3]);
        static Node Make(string op, string output, params ReadOnlySpan<string> inputs) => new() { Name = $"{output}/{op}", OpType = op, Inputs = [.. inputs], Outputs = [output] };
        var nodes = ImmutableArray.CreateBuilder<Node>();
        nodes.Add(Make("Shape", $"{Scope}/shape", FirstPast));
        nodes.Add(Make("Gather", Offset, $"{Scope}/shape", axis.Name));
        nodes.Add(Make("Equal", $"{Scope}/hidden", Mask, none.Name));
        nodes.Add(Make("Where", $"{Scope}/row", $"{Scope}/hidden", least.Name, zero.Name));
        nodes.Add(Make("Unsqueeze", $"{Scope}/rows", $"{Scope}/row", axes.Name));
        if (windows.Length > 0)
        {
            nodes.Add(Make("CumSum", $"{Scope}/counts", Mask, one.Name));
            nodes.Add(Make("Sub", $"{Scope}/numbers", $"{Scope}/counts", one.Name));
            nodes.Add(Make("Unsqueeze", $"{Scope}/keys", $"{Scope}/numbers", axes.Name));
            nodes.Add(Make("Unsqueeze", $"{Scope}/queries", Positions, column.Name));
        }

        foreach (Node node in graph.Nodes)
        {
            if (Array.IndexOf(masks, node) is >= 0)
            {
                string causal = $"{node.Outputs[0]}/causal";
                nodes.Add(node with { Outputs = [causal] });
                nodes.Add(Make("Min", node.Outputs[0], causal, $"{Scope}/rows"));
            }
            else
            {
                nodes.Add(casts.Contains(node) ? node with { Inputs = [Positions] }
                    : columns.Contains(node) ? node with { Inputs = [node.Inputs[0], column.Name] }
                    : windows.Contains(node) ? node with { Inputs = [$"{Scope}/keys", node.Inputs[1]] }
                    : oldest.Contains(node) ? node with { Inputs = [$"{Scope}/queries", node.Inputs[1]] }
                    : node);
            }
        }

        ValueInfo ids = graph.Inputs.First(i => i.Name == "input_ids");
        var mask = new ValueInfo(Mask, new Compiler.ValueType(DType.I64, [ids.Type.Dims[0], new Dimension(null, "total")]));
        var positions = new ValueInfo(Positions, ids.Type);
        return graph with
        {
            Inputs = [.. graph.Inputs.Where(i => i.Name != Offset).SelectMany(i => i == ids ? (ValueInfo[])[i, mask, positions] : [i])],
            Nodes = nodes.ToImmutable(),
            Initializers = [.. graph.Initializers, least, zero, none, one, axis, axes, column],
            ValueInfos = [], // Shapes inside have a batch more.
        };
    }

    private static byte[] Settings(ModelConfig root, ModelConfig config, Model model, Shape cache)
    {
        long context = config.Positive("max_position_embeddings");
        if ((config.Section("rope_scaling") ?? config.Section("rope_parameters")) is ModelConfig rope && (rope.Text("rope_type") ?? rope.Text("type")) is "longrope" or "dynamic")
        {
            context = Math.Min(context, rope.OptionalPositive("original_max_position_embeddings") ?? config.Positive("original_max_position_embeddings", context)); // What the graph is built for.
        }

        long vocabulary = config.Positive("vocab_size");
        long[] ends = Ids(model, root, "eos_token_id");
        long end = ends.Length > 0 ? ends[0] : 0;
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteStartObject("model");
            json.WriteNumber("bos_token_id", Ids(model, root, "bos_token_id") is [long begin, ..] ? begin : end);
            json.WriteNumber("context_length", context);
            json.WriteStartObject("decoder");
            json.WriteStartObject("session_options");
            json.WriteString("log_id", "onnxruntime-genai");
            json.WriteStartArray("provider_options");
            json.WriteEndArray();
            json.WriteEndObject();
            json.WriteString("filename", ModelFile);
            json.WriteNumber("head_size", cache[2]);
            json.WriteNumber("hidden_size", config.Positive("hidden_size"));
            Names(json, "inputs", ("input_ids", "input_ids"), (Mask, Mask), (Positions, Positions), ("past_key_names", "past_key_values.%d.key"), ("past_value_names", "past_key_values.%d.value"));
            Names(json, "outputs", ("logits", "logits"), ("present_key_names", "present.%d.key"), ("present_value_names", "present.%d.value"));
            json.WriteNumber("num_attention_heads", config.Positive("num_attention_heads"));
            json.WriteNumber("num_hidden_layers", cache[0]);
            json.WriteNumber("num_key_value_heads", cache[1]);
            json.WriteEndObject();
            if (ends.Length > 1)
            {
                json.WriteStartArray("eos_token_id");
                foreach (long id in ends)
                {
                    json.WriteNumberValue(id);
                }

                json.WriteEndArray();
            }
            else
            {
                json.WriteNumber("eos_token_id", end);
            }

            json.WriteNumber("pad_token_id", Ids(model, root, "pad_token_id") is [long padding, ..] && padding < vocabulary ? padding : end);
            json.WriteString("type", Types.GetValueOrDefault(root.Architecture, "decoder"));
            json.WriteNumber("vocab_size", vocabulary);
            json.WriteEndObject();
            json.WriteStartObject("search");
            json.WriteBoolean("do_sample", false);
            json.WriteNumber("max_length", context);
            json.WriteNumber("min_length", 0);
            json.WriteNumber("num_beams", 1);
            json.WriteNumber("num_return_sequences", 1);
            json.WriteBoolean("past_present_share_buffer", false); // Only GroupQueryAttention writes into the past.
            json.WriteNumber("repetition_penalty", 1.0);
            json.WriteNumber("temperature", 1.0);
            json.WriteNumber("top_k", 1);
            json.WriteNumber("top_p", 1.0);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return stream.ToArray();
    }

    private static void Names(Utf8JsonWriter json, string section, params ReadOnlySpan<(string Key, string Name)> names)
    {
        json.WriteStartObject(section);
        foreach ((string key, string name) in names)
        {
            json.WriteString(key, name);
        }

        json.WriteEndObject();
    }

    /// <summary>One id or a list of them, of generation_config.json, else of config.json; none when neither says.</summary>
    private static long[] Ids(Model model, ModelConfig root, string key)
    {
        CarriedFile? generation = model.Files.FirstOrDefault(f => f.RelativePath == "generation_config.json");
        ModelConfig? first = generation is null ? null : ModelConfig.Parse(generation.Data.ToArray(1 << 20));
        foreach (ModelConfig? config in new[] { first, root, root.Section("text_config") })
        {
            if (config?.Has(key) == true)
            {
                return config.IsList(key) ? [.. config.Integers(key)] : [config.NotNegative(key, 0)];
            }
        }

        return [];
    }
}
