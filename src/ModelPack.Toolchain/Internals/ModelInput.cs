using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Containers.Checkpoint;
using ModelPack.Containers.Onnx;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>Model files and folders as the compile side takes them: a checkpoint folder whose architecture is known has a graph.</summary>
internal static class ModelInput
{
    private const string Checkpoint = "checkpoint";
    private const int MaxNames = 3;

    /// <summary>Imports a model.</summary>
    /// <param name="path">A file or folder.</param>
    /// <param name="weightsOnly">Leave a checkpoint without its graph.</param>
    /// <param name="notBuilt">Why a checkpoint has no graph although one was wanted; null otherwise.</param>
    /// <param name="cancellation">Stops.</param>
    /// <param name="form">What the graph of a checkpoint takes and gives.</param>
    /// <exception cref="ModelPackException">MP1xxx: the file is bad, or the checkpoint contradicts its configuration.</exception>
    public static ImportedModel Import(string path, bool weightsOnly, out ModelPackException? notBuilt, CancellationToken cancellation, GraphForm form = GraphForm.Full)
    {
        notBuilt = null;
        IContainer container = Containers.Containers.For(path);
        ImportedModel imported = container.Import(path, cancellation);
        if (weightsOnly || container.Id != Checkpoint)
        {
            return imported;
        }

        try
        {
            return new ImportedModel(ArchitectureCatalog.Build(imported.Model, form), imported.Files);
        }
        catch (ModelPackException e) when (ArchitectureCatalog.IsNotBuilt(e.Code))
        {
            notBuilt = e.WithPath(path);
            return imported;
        }
        catch (ModelPackException e)
        {
            imported.Dispose();
            throw e.WithPath(path);
        }
    }

    /// <summary>The form of a graph that an artifact's record names.</summary>
    /// <exception cref="ModelPackException">MP4101: it names none.</exception>
    public static GraphForm Form(CheckpointForm? checkpoint, string path) => checkpoint?.Cache is not string name ? GraphForm.Full
        : Enum.TryParse(name, out GraphForm form) && Enum.IsDefined(form) ? form
        : throw new ModelPackException(ErrorCodes.BadProvenance, $"the record of the checkpoint's tensors names the cache '{name}', which this version does not know", path);

    /// <summary>Opens anything that can be run: an artifact, an .onnx file, or a checkpoint folder of a known architecture.</summary>
    /// <exception cref="ModelPackException">It cannot be read or executed; MP1501, MP1502, MP1505: no graph can be built for the checkpoint.</exception>
    public static ModelSession Open(string path, ModelSessionOptions options) => Open(path, options, GraphForm.Full);

    /// <summary>As the other overload, with the graph of a checkpoint in a form of choice.</summary>
    /// <exception cref="ModelPackException">As there.</exception>
    internal static ModelSession Open(string path, ModelSessionOptions options, GraphForm form)
    {
        if (!Containers.Containers.Get(Checkpoint).Recognizes(path))
        {
            return ModelSession.Open(path, options);
        }

        using ImportedModel imported = Import(path, weightsOnly: false, out ModelPackException? notBuilt, CancellationToken.None, form);
        if (notBuilt is not null)
        {
            throw notBuilt;
        }

        Dictionary<string, Tensor> weights = imported.Model.Graph.Initializers.Where(ArtifactContent.IsExternal).ToDictionary(t => t.Name, StringComparer.Ordinal);
        byte[] graph = OnnxModelWriter.WriteWeightless(imported.Model, t => weights.ContainsKey(t.Name), ArtifactContent.Dense);
        return PackedModel.Open(path, new ModelWeights(graph, weights), options with { ExpandAll = true });
    }

    /// <summary>What a user should know about a checkpoint that was quantised already.</summary>
    public static IEnumerable<string> QuantizedWarnings(Model model)
    {
        if (model.Kind == ModelKind.Onnx && QuantizedWeights.Activations(model.Files) is string activations)
        {
            yield return $"the checkpoint means activations to be rounded ({activations}); the graph computes with them as they are, pass 'quantize-inputs' rounds them";
        }

        Tensor[] values = [.. model.Graph.Initializers.Where(t => t.TryGetRawData(out TensorData data) && data is DequantizedData)];
        if (values.Length > 0)
        {
            yield return $"'{values[0].Name}'{(values.Length > 1 ? $" and {values.Length - 1} more" : "")}: groups of such an order or length have no format of ours; stored as the values they mean, in f32";
        }
    }

    /// <summary>What a user should know about tensors that the graph does not read; null when there are none.</summary>
    public static string? CarriedWarning(Model model)
    {
        Tensor[] carried = [.. model.CarriedTensors.Where(t => !QuantizedCheckpoints.IsActivationScale(t.Name))];
        if (carried.Length == 0)
        {
            return null;
        }

        string names = string.Join(", ", carried.Take(MaxNames).Select(t => t.Name));
        string more = carried.Length > MaxNames ? $" and {carried.Length - MaxNames} more" : "";
        string meaning = string.Concat(ArchitectureCatalog.Extras(model).Select(e => $" ({e})"));
        return $"{names}{more}{meaning}: the graph does not need them; they are stored as they are";
    }
}
