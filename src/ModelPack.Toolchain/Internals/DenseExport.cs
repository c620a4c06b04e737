using ModelPack.Compiler;
using ModelPack.Containers.Checkpoint;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Writes the tensors of a compiled artifact in the container it came from: dense, except FP8 weights when asked.</summary>
internal static class DenseExport
{
    public static IReadOnlyList<string> Write(PackReader reader, string output, DType? dtype, bool fp8, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        Model model = CheckpointRecord.WithoutGraph(Artifact.ReadModel(reader, cancellation), reader.File.Path);
        if (dtype is DType wanted)
        {
            model = Retype(model, wanted, reader.File.Path);
        }

        model = fp8 ? AsFp8(model, reader.File.Path) : QuantizedWeights.Undeclared(model);

        progress?.Report(new ToolProgress("export", 0, 0, output));
        string id = model.Kind switch
        {
            ModelKind.Onnx => "onnx",
            ModelKind.Safetensors => "safetensors",
            _ => "checkpoint",
        };
        IContainer container = Containers.Containers.All.First(c => c.Id == id);
        return container.Export(model, output, ArtifactContent.Dense, cancellation);
    }

    private static Model AsFp8(Model model, string path)
    {
        Model split = model.Kind == ModelKind.Onnx ? model : Fp8BlockWeights.Split(model);
        return ReferenceEquals(split, model)
            ? throw new ModelPackException(ErrorCodes.ExportNotPossible, "no matrix of a checkpoint is stored as fp8(element=e4m3fn,scope=tile), so there is nothing to write as FP8", path)
            : split;
    }

    /// <summary>Checkpoints only: a graph's operators expect the types they were built with.</summary>
    private static Model Retype(Model model, DType dtype, string path)
    {
        if (model.Kind == ModelKind.Onnx)
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, "--dtype does not apply to ONNX graphs: their operators fix the types", path);
        }

        return model with
        {
            Graph = model.Graph with
            {
                Initializers = [.. model.Graph.Initializers.Select(t => t.DType.IsFloat() && t.DType != DType.F64 ? t with { DType = dtype } : t)],
            },
        };
    }
}
