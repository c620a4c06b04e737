using System.Diagnostics;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Containers.Checkpoint;
using ModelPack.Containers.Onnx;
using ModelPack.Pack;
using ModelPack.Runtime.Loading;

namespace ModelPack.Toolchain;

/// <summary>What an export makes of compressed weights.</summary>
public enum ExportForm
{
    /// <summary>Operators that every ONNX Runtime has; for safetensors the formats that loaders know.</summary>
    Stock,

    /// <summary>Dense weights and the original operators.</summary>
    Dense,

    /// <summary>ONNX only: operators of ModelPack's library for ONNX Runtime, weights in the layout that its kernels read, mapped from the file.</summary>
    Packed,
}

/// <summary>Writes compiled artifacts for other runtimes.</summary>
public static class Exporting
{
    /// <summary>Formats <c>Export</c> writes.</summary>
    public static IReadOnlyList<string> Formats { get; } = ["onnx", "safetensors", "gguf", "compressed-tensors", "fp8", "gptq", "awq", "genai"];

    /// <summary>
    /// Exports an artifact, or a checkpoint folder or GGUF file as it is: weights that it holds quantised keep their codes and scales where the other format has them.
    /// <list type="bullet">
    /// <item><c>onnx</c>: the execution graph with its weights in the <see cref="ExportOptions.Form"/> asked for.</item>
    /// <item><c>safetensors</c>: dense tensors, and unless dense ones are asked for weights stored as <c>fp8(element=e4m3fn,scope=tile)</c> as FP8 checkpoints have them.</item>
    /// <item><c>fp8</c>: the same, an error when no weight is stored so.</item>
    /// <item><c>gguf</c>: one file for llama.cpp. <c>compressed-tensors</c>: a folder for vLLM and transformers. Weights keep their codes and scales, or are an error (<see cref="ExportOptions.Others"/>).</item>
    /// <item><c>gptq</c> and <c>awq</c>: folders with integer codes packed as those tools do, one width and group size for all layers.</item>
    /// <item><c>genai</c>: a folder for ONNX Runtime GenAI, of a language model that was compiled with a cache of keys and values.</item>
    /// </list>
    /// </summary>
    /// <exception cref="ModelPackException">MP4107, MP4115, MP4116: the artifact has no graph to export as ONNX, the format is unknown, has no such form, or does not have an encoding. MP1500 to MP1503, MP5031: config.json or tokenizer.json are missing or wrong where they are needed.</exception>
    public static ExportResult Export(string artifact, string to, string output, ExportOptions options, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using ExportSource source = ExportSource.Open(artifact, cancellation);
        ModelPackException Refused(string why) => new(ErrorCodes.ExportNotPossible, why, artifact);
        if (options.Form != ExportForm.Stock && to is not ("onnx" or "safetensors"))
        {
            throw Refused($"{to} has no other forms of weights");
        }

        if (options.Form == ExportForm.Packed && to != "onnx")
        {
            throw Refused($"{to} has no form for kernels; only onnx does");
        }

        progress?.Report(new ToolProgress("export", 0, 0, output));
        var warnings = new List<string>();
        try
        {
            using OutputJournal? journal = to is "onnx" or "genai" || !Formats.Contains(to) ? null : Resuming.Journal(source, options, to, output, cancellation);
            (IReadOnlyList<string> files, string[] loadableBy) = to switch
            {
                "onnx" => Onnx(source.Reader ?? throw Refused("a folder has no graph to export; 'compile' makes an artifact of it that has one"), output, options.Form, progress, cancellation),
                "safetensors" or "fp8" => Safetensors(source, output, options, required: to == "fp8", journal, progress, cancellation),
                "gguf" => (GgufExport.Write(source.Weights(), output, options.Others, warnings, journal, progress, cancellation), ["llama.cpp (ggml)"]),
                "compressed-tensors" => (CompressedTensors(source, output, options, warnings, journal, progress, cancellation), ["vLLM, transformers with compressed-tensors"]),
                "gptq" or "awq" => (WriteTensors(PackedIntegersExport.Of(source.Weights(), awq: to == "awq", options.Others, warnings), output, options, journal, progress, cancellation), [$"vLLM, transformers, SGLang ({to})"]),
                "genai" => (GenAi(source.Reader ?? throw Refused("a folder has no graph to export; 'compile --kv-cache' makes an artifact of it that has one"), output, warnings, progress, cancellation), ["ONNX Runtime GenAI 0.7 and later"]),
                _ => throw Refused($"unknown format '{to}'; there are: {string.Join(", ", Formats)}"),
            };
            journal?.Complete();
            if (journal?.Discarded is string discarded)
            {
                warnings.Add(discarded);
            }

            return new ExportResult { Input = artifact, To = to, Files = files, LoadableBy = loadableBy, Warnings = warnings, ResumedTensors = journal?.KeptParts ?? 0, Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds };
        }
        catch (ModelPackException e)
        {
            throw e.WithPath(artifact);
        }
    }

    /// <summary>As the other overload, with the form of weights alone.</summary>
    /// <exception cref="ModelPackException">As there.</exception>
    public static ExportResult Export(
        string artifact, string to, string output, ExportForm form = ExportForm.Stock, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default) =>
        Export(artifact, to, output, new ExportOptions { Form = form }, progress, cancellation);

    private static (IReadOnlyList<string> Files, string[] LoadableBy) Onnx(PackReader reader, string output, ExportForm form, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        Model model = form == ExportForm.Dense ? Artifact.ReadModel(reader, cancellation) : ExecutionModel(reader, form == ExportForm.Packed, cancellation);
        if (model.Kind != ModelKind.Onnx)
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, "the artifact was made from a checkpoint and has no graph");
        }

        Func<Tensor, TensorData> dense = ExportProgress.Dense(model, progress);

        // In a file of their own, at whole pages, ONNX Runtime maps the weights instead of reading them.
        IReadOnlyList<string> files = form == ExportForm.Packed
            ? OnnxModelWriter.Write(model, output, dense, new OnnxExportOptions { Weights = OnnxWeights.External }, cancellation)
            : Container("onnx").Export(model, output, dense, cancellation);
        return (files, LoadableOnnx(model));
    }

    /// <summary>The files of the checkpoint go beside the graph: among them is the tokenizer.</summary>
    private static IReadOnlyList<string> GenAi(PackReader reader, string output, List<string> warnings, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        Model model = ExecutionModel(reader, packed: false, cancellation);
        return GenAiExport.Write(model with { Files = Artifact.ReadModel(reader, cancellation).Files }, output, warnings, progress, cancellation);
    }

    private static (IReadOnlyList<string> Files, string[] LoadableBy) Safetensors(ExportSource from, string output, ExportOptions options, bool required, OutputJournal? journal, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        bool dense = options.Form == ExportForm.Dense;
        Model source = from.Weights();
        Model model = dense || source.Kind == ModelKind.Onnx ? source : Fp8BlockWeights.Split(source);
        bool fp8 = model.Graph.Initializers.Length > source.Graph.Initializers.Length;
        if (required && !fp8)
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, "no matrix of a checkpoint is stored as fp8(element=e4m3fn,scope=tile), so there is nothing to write as FP8");
        }

        model = fp8 || source.Kind == ModelKind.Onnx ? model : QuantizedWeights.Undeclared(model);
        return (WriteTensors(model, output, options, journal, progress, cancellation), fp8 ? ["loaders of FP8 checkpoints with 128x128 block scales (transformers, vLLM)"] : ["any safetensors reader"]);
    }

    private static IReadOnlyList<string> CompressedTensors(ExportSource source, string output, ExportOptions options, List<string> warnings, OutputJournal? journal, IProgress<ToolProgress>? progress, CancellationToken cancellation) =>
        WriteTensors(CompressedTensorsExport.Of(source.Weights(), source.Inputs(options.RoundActivations), options.Others, warnings), output, options, journal, progress, cancellation);

    private static IReadOnlyList<string> WriteTensors(Model model, string output, ExportOptions options, OutputJournal? journal, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        bool folder = model.Kind == ModelKind.Checkpoint && !output.EndsWith(".safetensors", StringComparison.Ordinal);
        if (!folder && options.MaxShardBytes is not null)
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, "the output is one file; shards need a folder, and a checkpoint to write");
        }

        var writing = new CheckpointExportOptions { Journal = journal };
        writing = options.MaxShardBytes is long bytes ? writing with { MaxShardBytes = bytes } : writing;
        try
        {
            return CheckpointExport.Write(model, output, folder, ExportProgress.Dense(model, progress), writing, cancellation);
        }
        catch (OperationCanceledException e) when (journal?.HoldsParts == true)
        {
            throw new InterruptedWriteException($"cancelled{journal.Left}", e);
        }
    }

    private static IContainer Container(string id) => Containers.Containers.All.First(c => c.Id == id);

    private static string[] LoadableOnnx(Model model) =>
        model.Opsets.ContainsKey(PackedMatMul.Domain) ? ["ONNX Runtime with ModelPack's operators registered (libmodelpack_ort)"]
        : model.Opsets.ContainsKey("com.microsoft") ? ["ONNX Runtime (com.microsoft operators)"]
        : ["any ONNX runtime that reads the model's opset"];

    /// <summary>The execution graph with every bound initializer filled in from the artifact.</summary>
    private static Model ExecutionModel(PackReader reader, bool packed, CancellationToken cancellation)
    {
        if (!reader.Blobs.TryGetValue(Artifact.ExecutionGraphBlob, out TensorData? graph) || Artifact.ReadPlan(reader) is not ExecutionPlan plan)
        {
            return Artifact.ReadModel(reader, cancellation);
        }

        if (!packed && plan.Bindings.Any(b => b.Role is InitializerBinding.Tiles or InitializerBinding.NeuronRows))
        {
            // Other hosts do not have our operators: the same weights in stock ones.
            PlanAccuracy accuracy = ArtifactContent.ParseAccuracy(Artifact.ReadProvenance(reader).Accuracy);
            return Planner.Plan(
                Artifact.ReadModel(reader, cancellation), new PlanOptions { Target = plan.Target, Accuracy = accuracy, StockOperators = true, IsExternal = ArtifactContent.IsExternal }).ExecutionModel;
        }

        var weights = new PackSource(reader);
        Dictionary<string, InitializerBinding> bindings = plan.Bindings.ToDictionary(b => b.Initializer, StringComparer.Ordinal);
        return OnnxModelReader.ReadWeightless(
            graph,
            (path, _) => bindings.TryGetValue(path, out InitializerBinding? binding) && reader.Find(binding.Tensor) is PackTensor tensor ? Fill(binding, tensor, weights) : null,
            cancellation);
    }

    private static Tensor Fill(InitializerBinding binding, PackTensor tensor, PackSource weights)
    {
        if (binding.Role is InitializerBinding.Tiles or InitializerBinding.NeuronRows)
        {
            return Tensor.Raw(binding.Initializer, DType.U8, binding.Shape, new TileData(weights.Find(tensor.Name)!, binding));
        }

        if (binding.Role is null)
        {
            return new Tensor { Name = binding.Initializer, DType = binding.DType, Shape = binding.Shape, Encoding = tensor.Encoding };
        }

        PackTensorStream stream = tensor.Streams.First(s => s.Role == binding.Role);
        DType stored = stream.Stream.ElementType;
        if (binding.DType == DType.I8 && stored == DType.U8)
        {
            return Tensor.Raw(binding.Initializer, DType.I8, binding.Shape, new SignedCodesData(stream.Stream.Data, binding.Transposed ? binding.Shape[1] : 0));
        }

        return new Tensor
        {
            Name = binding.Initializer,
            DType = binding.DType,
            Shape = binding.Shape,
            Encoding = DenseEncoding.Raw(stored.IsFloat() ? stored : binding.DType, binding.Shape, stream.Stream.Data),
        };
    }
}
