using ModelPack.Compiler;
using ModelPack.Containers.Checkpoint;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>What is exported: an artifact, or a checkpoint as a folder or GGUF file.</summary>
internal sealed class ExportSource : IDisposable
{
    private readonly ImportedModel? _folder;
    private readonly Model _model;

    private ExportSource(PackReader? reader, ImportedModel? folder, Model model)
    {
        Reader = reader;
        _folder = folder;
        _model = model;
    }

    /// <summary>The artifact; null for a checkpoint.</summary>
    public PackReader? Reader { get; }

    /// <exception cref="ModelPackException">It cannot be read.</exception>
    public static ExportSource Open(string path, CancellationToken cancellation)
    {
        if (ModelInput.IsCheckpoint(path))
        {
            ImportedModel imported = ModelInput.Import(path, weightsOnly: true, out _, cancellation);
            return new ExportSource(null, imported, imported.Model);
        }

        PackReader reader = PackReader.Open(path);
        try
        {
            return new ExportSource(reader, null, Artifact.ReadModel(reader, cancellation));
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    /// <summary>The files it is read from.</summary>
    public IReadOnlyList<MappedFile> Files => Reader is not null ? [Reader.File] : [.. _folder!.Files];

    /// <summary>The tensors, without the graph that was built for them.</summary>
    /// <exception cref="ModelPackException">MP4107: a pass has put another tensor in the place of one.</exception>
    public Model Weights() => Reader is null ? _model : CheckpointRecord.WithoutGraph(_model, Reader.File.Path);

    /// <summary>How the input of a linear layer is rounded, by the name of its weight: as the graph does it, else as the checkpoint said of itself.</summary>
    /// <param name="asked">What is asked for instead; null for nothing.</param>
    /// <exception cref="ModelPackException">MP4107: rounded in a way that runtimes do not have. MP4115, when a layer is asked for: the checkpoint means constant scales and has none for it.</exception>
    public Func<string, RoundedInput> Inputs(bool? asked)
    {
        if (asked is not null)
        {
            return _ => new RoundedInput(asked);
        }

        if (Reader is not null && Artifact.ReadRecipe(Reader).Contains("\"quantize-inputs\"", StringComparison.Ordinal))
        {
            SortedDictionary<string, RoundedInput>? rounded = _model.Kind == ModelKind.Onnx ? RoundedInputs.Of(_model.Graph) : null;
            return weight => rounded is null ? new RoundedInput(true) : rounded.GetValueOrDefault(weight, new RoundedInput(false));
        }

        if (QuantizationSection.Of(_model.Files, "") is not { Method: "compressed-tensors" or "modelopt" or "fp8" })
        {
            return _ => default;
        }

        Dictionary<string, Tensor> tensors = _model.Graph.Initializers.Concat(_model.CarriedTensors).ToDictionary(t => t.Name, StringComparer.Ordinal);
        return weight =>
        {
            string module = weight[..^".weight".Length];
            string? declared = QuantizedWeights.Activations(_model.Files, module);
            if (declared?.EndsWith("static", StringComparison.Ordinal) != true)
            {
                return new RoundedInput(declared is not null);
            }

            string name = $"{module}.input_scale";
            if (tensors.GetValueOrDefault(name) is not { Shape.ElementCount: 1 } scale || !scale.DType.IsFloat())
            {
                throw new ModelPackException(
                    ErrorCodes.ActivationScaleMissing, "is missing, and the checkpoint means activations to have constant scales; --activations dynamic or none writes all layers without", tensor: name);
            }

            float[] value = new float[1];
            EncodingValues.Open(scale.Encoding).ReadRows(0, 1, value);
            return new RoundedInput(true, value[0]);
        };
    }

    public void Dispose()
    {
        Reader?.Dispose();
        _folder?.Dispose();
    }
}
