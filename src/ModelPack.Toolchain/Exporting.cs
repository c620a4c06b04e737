using System.Diagnostics;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Containers.Checkpoint;
using ModelPack.Containers.Onnx;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Writes compiled artifacts for unmodified runtimes.</summary>
public static class Exporting
{
    /// <summary>Formats <see cref="Export"/> writes.</summary>
    public static IReadOnlyList<string> Formats { get; } = ["onnx", "safetensors"];

    /// <summary>
    /// Exports an artifact. <c>onnx</c>: the execution graph with its compressed weights in stock operators (or dense weights when <paramref name="dense"/>).
    /// <c>safetensors</c>: dense tensors, and unless <paramref name="dense"/> weights stored as <c>fp8(element=e4m3fn,scope=tile)</c> as FP8 checkpoints have them.
    /// </summary>
    /// <exception cref="ModelPackException">MP4107: the artifact has no graph to export as ONNX, or the format is unknown.</exception>
    public static ExportResult Export(
        string artifact, string to, string output, bool dense = false, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using PackReader reader = PackReader.Open(artifact);
        Model model = to == "onnx" && !dense ? ExecutionModel(reader, cancellation) : Artifact.ReadModel(reader, cancellation);
        model = to == "safetensors" ? CheckpointRecord.WithoutGraph(model, artifact) : model;
        Model source = model;
        if (to == "safetensors" && model.Kind != ModelKind.Onnx)
        {
            model = dense ? model : Fp8BlockWeights.Split(model);
            model = ReferenceEquals(model, source) ? Fp8BlockWeights.Undeclared(model) : model;
        }

        bool fp8 = model.Graph.Initializers.Length > source.Graph.Initializers.Length;
        progress?.Report(new ToolProgress("export", 0, 0, output));
        IReadOnlyList<string> files = to switch
        {
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

    private static string[] LoadableOnnx(Model model) => model.Opsets.ContainsKey("com.microsoft")
        ? ["ONNX Runtime (com.microsoft operators)"]
        : ["any ONNX runtime that reads the model's opset"];

    /// <summary>The execution graph with every bound initializer filled in from the artifact.</summary>
    private static Model ExecutionModel(PackReader reader, CancellationToken cancellation)
    {
        if (!reader.Blobs.TryGetValue(Artifact.ExecutionGraphBlob, out TensorData? graph) || Artifact.ReadPlan(reader) is not ExecutionPlan plan)
        {
            return Artifact.ReadModel(reader, cancellation);
        }

        if (plan.Bindings.Any(b => b.Role == InitializerBinding.Tiles))
        {
            // Other hosts do not have our operators: the same weights in stock ones.
            PlanAccuracy accuracy = ArtifactContent.ParseAccuracy(Artifact.ReadProvenance(reader).Accuracy);
            return Planner.Plan(
                Artifact.ReadModel(reader, cancellation), new PlanOptions { Target = plan.Target, Accuracy = accuracy, StockOperators = true, IsExternal = ArtifactContent.IsExternal }).ExecutionModel;
        }

        Dictionary<string, InitializerBinding> bindings = plan.Bindings.ToDictionary(b => b.Initializer, StringComparer.Ordinal);
        return OnnxModelReader.ReadWeightless(
            graph,
            (path, _) => bindings.TryGetValue(path, out InitializerBinding? binding) && reader.Find(binding.Tensor) is PackTensor tensor ? Fill(binding, tensor) : null,
            cancellation);
    }

    private static Tensor Fill(InitializerBinding binding, PackTensor tensor)
    {
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
