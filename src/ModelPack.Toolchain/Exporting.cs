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
    /// <summary>Formats <see cref="Export"/> writes.</summary>
    public static IReadOnlyList<string> Formats { get; } = ["onnx", "safetensors"];

    /// <summary>
    /// Exports an artifact. <c>onnx</c>: the execution graph with its weights in the <paramref name="form"/> asked for.
    /// <c>safetensors</c>: dense tensors, and unless dense ones are asked for weights stored as <c>fp8(element=e4m3fn,scope=tile)</c> as FP8 checkpoints have them.
    /// </summary>
    /// <exception cref="ModelPackException">MP4107: the artifact has no graph to export as ONNX, the format is unknown, or has no such form.</exception>
    public static ExportResult Export(
        string artifact, string to, string output, ExportForm form = ExportForm.Stock, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using PackReader reader = PackReader.Open(artifact);
        if (form == ExportForm.Packed && to != "onnx")
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, $"{to} has no form for kernels; only onnx does", artifact);
        }

        Model model = to == "onnx" && form != ExportForm.Dense ? ExecutionModel(reader, form == ExportForm.Packed, cancellation) : Artifact.ReadModel(reader, cancellation);
        model = to == "safetensors" ? CheckpointRecord.WithoutGraph(model, artifact) : model;
        Model source = model;
        if (to == "safetensors" && model.Kind != ModelKind.Onnx)
        {
            model = form == ExportForm.Dense ? model : Fp8BlockWeights.Split(model);
            model = ReferenceEquals(model, source) ? Fp8BlockWeights.Undeclared(model) : model;
        }

        bool fp8 = model.Graph.Initializers.Length > source.Graph.Initializers.Length;
        progress?.Report(new ToolProgress("export", 0, 0, output));
        IReadOnlyList<string> files = to switch
        {
            // In a file of their own, at whole pages, ONNX Runtime maps the weights instead of reading them.
            "onnx" when form == ExportForm.Packed && model.Kind == ModelKind.Onnx =>
                OnnxModelWriter.Write(model, output, ArtifactContent.Dense, new OnnxExportOptions { Weights = OnnxWeights.External }, cancellation),
            "onnx" when model.Kind == ModelKind.Onnx => Container("onnx").Export(model, output, ArtifactContent.Dense, cancellation),
            "onnx" => throw new ModelPackException(ErrorCodes.ExportNotPossible, "the artifact was made from a checkpoint and has no graph", artifact),
            "safetensors" => Container(model.Kind == ModelKind.Checkpoint && !output.EndsWith(".safetensors", StringComparison.Ordinal) ? "checkpoint" : "safetensors")
                .Export(model, output, ArtifactContent.Dense, cancellation),
            _ => throw new ModelPackException(ErrorCodes.ExportNotPossible, $"unknown format '{to}'; there are: {string.Join(", ", Formats)}", artifact),
        };
        return new ExportResult
        {
            Input = artifact,
            To = to,
            Files = files,
            LoadableBy = to == "onnx" ? LoadableOnnx(model) : fp8 ? ["loaders of FP8 checkpoints with 128x128 block scales (transformers, vLLM)"] : ["any safetensors reader"],
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
        };
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

        if (!packed && plan.Bindings.Any(b => b.Role == InitializerBinding.Tiles))
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
        if (binding.Role == InitializerBinding.Tiles)
        {
            return Tensor.Raw(binding.Initializer, DType.U8, binding.Shape, new TileData(weights.Find(tensor.Name)!, binding.Shape[0], binding.Transposed));
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
