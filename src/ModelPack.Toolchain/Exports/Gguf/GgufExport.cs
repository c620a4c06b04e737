using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Containers.Gguf;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Writes a checkpoint as a GGUF file for llama.cpp: names, keys and tokenizer as its converter writes them, weights with the codes and scales that they have.</summary>
internal static class GgufExport
{
    /// <summary>The numbers of <c>general.file_type</c> for files whose matrices are mostly of a type.</summary>
    private static readonly Dictionary<string, uint> FileTypes = new(StringComparer.Ordinal)
    {
        ["f32"] = 0,
        ["f16"] = 1,
        ["q4_0"] = 2,
        ["q4_1"] = 3,
        ["q8_0"] = 7,
        ["q5_0"] = 8,
        ["q4_k"] = 14,
        ["q6_k"] = 18,
        ["bf16"] = 32,
        ["tq1_0"] = 36,
        ["tq2_0"] = 37,
        ["mxfp4"] = 38,
        ["nvfp4"] = 39,
    };

    /// <summary>Writes the file.</summary>
    /// <param name="model">A checkpoint without a graph.</param>
    /// <param name="output">The file.</param>
    /// <param name="others">What weights become whose encoding GGUF does not have; null makes them an error.</param>
    /// <param name="warnings">Takes what a user should know.</param>
    /// <param name="journal">Keeps what is finished; null for nothing.</param>
    /// <param name="progress">Told the tensors written.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP4107: something has no counterpart; MP1500 to MP1503: config.json is missing or wrong; MP5031: the tokenizer is damaged.</exception>
    public static IReadOnlyList<string> Write(Model model, string output, DType? others, List<string> warnings, OutputJournal? journal, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        ModelConfig config = ModelConfig.Read(model.Files);
        GgufFamily family = GgufFamily.Of(config);
        var metadata = new GgufMetadata();
        metadata.Add("general.architecture", family.Architecture);
        metadata.Add("general.type", "model");
        metadata.Add("general.name", Path.GetFileNameWithoutExtension(output));
        metadata.Add("general.quantized_by", ArtifactContent.ToolVersion);
        float[]? frequencies = family.Describe(config, metadata);
        int headDim = (int)config.Positive("head_dim", Math.Max(1, config.Positive("hidden_size") / config.Positive("num_attention_heads")));
        List<GgufOutputTensor> tensors = Tensors(model, family, config, headDim, others, cancellation);
        if (frequencies is not null)
        {
            tensors.Add(Floats("rope_freqs.weight", frequencies));
        }

        if (family.Architecture == "phi3")
        {
            int rotary = (int)(headDim * (config.OptionalNumber("partial_rotary_factor") ?? config.Section("rope_parameters")?.OptionalNumber("partial_rotary_factor") ?? 1f));
            tensors.AddRange(GgufRope.LongFactors(config, rotary / 2).Select(f => Floats(f.Name, f.Values)));
        }

        CheckComplete(tensors, family, (int)config.Positive("num_hidden_layers"));
        if (config.OptionalPositive("sliding_window") is long window && window < config.Positive("max_position_embeddings") && !family.IsGemma && config.Flag("use_sliding_window", family.Architecture is "llama" or "phi3"))
        {
            warnings.Add($"llama.cpp attends to all tokens where this model has a window of {window}: longer texts come out differently");
        }

        string type = tensors.Where(t => t.Shape.Rank >= 2).GroupBy(t => t.Type).OrderByDescending(g => g.Sum(t => t.Data.LengthBytes)).ThenBy(g => g.Key, StringComparer.Ordinal).First().Key;
        if (FileTypes.TryGetValue(type, out uint fileType))
        {
            metadata.Add("general.file_type", fileType);
        }

        if (tensors.Exists(t => GgufWriter.BlockValues(t.Type) > 1))
        {
            metadata.Add("general.quantization_version", 2u);
        }

        GgufTokenizer.Describe(model.Files, (int)config.Positive("vocab_size"), metadata);
        using var files = new AtomicFiles(journal);
        files.AddFolder(Path.GetDirectoryName(Path.GetFullPath(output))!);
        tensors = ExportProgress.Observe(tensors, progress);
        try
        {
            files.Add(output, stream => GgufWriter.Write(stream, metadata, tensors, cancellation));
        }
        catch (OperationCanceledException e) when (journal?.HoldsParts == true)
        {
            throw new InterruptedWriteException($"cancelled{journal.Left}", e);
        }

        files.Commit();
        return files.Paths;
    }

    private static List<GgufOutputTensor> Tensors(Model model, GgufFamily family, ModelConfig config, int headDim, DType? others, CancellationToken cancellation)
    {
        bool tied = config.Flag("tie_word_embeddings", family.IsGemma);
        var tensors = new List<GgufOutputTensor>();
        var experts = new SortedDictionary<string, (GgufOutputTensor Tensor, string Source)?[]>(StringComparer.Ordinal);
        long count = family.Experts is string key ? config.Positive(key) : 0;
        foreach (Tensor tensor in model.Graph.Initializers)
        {
            cancellation.ThrowIfCancellationRequested();
            if (tensor.Name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal) || (tied && tensor.Name == "lm_head.weight"))
            {
                continue; // Computed, or the embedding again.
            }

            string name = family.Name(tensor.Name, out int? expert) ?? throw new ModelPackException(ErrorCodes.ExportNotPossible, $"llama.cpp has no place for it in a model of the kind {family.Architecture}", tensor: tensor.Name);
            GgufBlocks blocks = family.IsGemma && name.EndsWith("norm.weight", StringComparison.Ordinal) ? OneMore(tensor)
                : name.EndsWith("ffn_gate_inp.weight", StringComparison.Ordinal) ? GgufBlocks.Dense(tensor, DType.F32)
                : Blocks(tensor, others);
            if (expert is int place)
            {
                if (!experts.TryGetValue(name, out (GgufOutputTensor, string)?[]? all))
                {
                    experts[name] = all = new (GgufOutputTensor, string)?[count];
                }

                if (place >= count || blocks.Scale != 1)
                {
                    throw new ModelPackException(ErrorCodes.ExportNotPossible, place >= count ? $"is of expert {place}; config.json has {count}" : "has a scale of the whole tensor, for which joined experts have no place", tensor: tensor.Name);
                }

                all[place] = (new GgufOutputTensor(name, blocks.Type, tensor.Shape, blocks.Data), tensor.Name);
                continue;
            }

            long rows = tensor.Shape.Rank == 1 ? tensor.Shape[0] : tensor.Shape.Rows;
            TensorData data = family.Rows(name, headDim) is Func<long, long> source && rows > 0 ? RowData.Reordered(blocks.Data, rows, source) : blocks.Data;
            tensors.Add(new GgufOutputTensor(name, blocks.Type, tensor.Shape, data));
            if (blocks.Scale != 1)
            {
                tensors.Add(Floats(Path.ChangeExtension(name, ".scale"), [blocks.Scale]));
            }
        }

        tensors.AddRange(experts.Select(e => Joined(e.Key, e.Value)));
        return tensors;
    }

    /// <summary>The experts of a layer one after the other, as one tensor of rank 3.</summary>
    private static GgufOutputTensor Joined(string name, (GgufOutputTensor Tensor, string Source)?[] experts)
    {
        if (Array.FindIndex(experts, e => e is null) is int missing and >= 0)
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, $"'{name}' joins {experts.Length} experts, and the checkpoint has no expert {missing}");
        }

        (GgufOutputTensor first, _) = experts[0]!.Value;
        if (Array.Find(experts, e => e!.Value.Tensor.Type != first.Type || e.Value.Tensor.Shape != first.Shape) is (GgufOutputTensor other, string source))
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, $"is {other.Type}{other.Shape}, the first expert {first.Type}{first.Shape}: llama.cpp has all experts of a layer in one tensor, of one type", tensor: source);
        }

        return new GgufOutputTensor(name, first.Type, new Shape(experts.Length, first.Shape[0], first.Shape[1]), new JoinedTensorData([.. experts.Select(e => e!.Value.Tensor.Data)]));
    }

    /// <summary>A gain that is stored less one, as it is.</summary>
    private static GgufBlocks OneMore(Tensor tensor)
    {
        byte[] bytes = DenseTensorData.Of(DType.F32, tensor.Encoding).ToArray(int.MaxValue);
        foreach (ref float gain in System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes.AsSpan()))
        {
            gain += 1;
        }

        return new GgufBlocks("f32", TensorData.FromBytes(bytes));
    }

    /// <summary>Vectors are f32 whatever they were: norms and biases are added to f32 numbers.</summary>
    private static GgufBlocks Blocks(Tensor tensor, DType? others) =>
        tensor.Shape.Rank == 1 ? GgufBlocks.Dense(tensor, DType.F32)
        : GgufBlocks.Of(tensor, out string reason)
            ?? (others is DType dtype ? GgufBlocks.Dense(tensor, dtype) : throw new ModelPackException(ErrorCodes.ExportNotPossible, $"{reason}; --others f16 writes such weights as plain numbers", tensor: tensor.Name));

    private static GgufOutputTensor Floats(string name, float[] values) => new(name, "f32", new Shape(values.Length), TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values).ToArray()));

    private static void CheckComplete(List<GgufOutputTensor> tensors, GgufFamily family, int layers)
    {
        HashSet<string> names = [.. tensors.Select(t => t.Name)];
        if (family.Required(layers).FirstOrDefault(n => !names.Contains(n)) is string missing)
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, $"the checkpoint has no tensor for '{missing}', without which llama.cpp does not load the model");
        }
    }
}
