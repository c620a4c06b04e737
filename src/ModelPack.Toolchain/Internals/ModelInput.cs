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
    private const string Gguf = "gguf";
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
        if (container.Id != Gguf && (weightsOnly || container.Id != Checkpoint))
        {
            return imported;
        }

        Model checkpoint = imported.Model;
        try
        {
            checkpoint = container.Id == Gguf ? GgufCheckpoint.Of(imported, cancellation) : checkpoint;
            return new ImportedModel(weightsOnly ? checkpoint : ArchitectureCatalog.Build(checkpoint, form), imported.Files);
        }
        catch (ModelPackException e) when (ArchitectureCatalog.IsNotBuilt(e.Code))
        {
            notBuilt = weightsOnly ? null : e.WithPath(path);
            return WithoutGraph(imported, checkpoint, path);
        }
        catch (ModelPackException e)
        {
            imported.Dispose();
            throw e.WithPath(path);
        }
    }

    /// <summary>Whether a path is a model as weights and configuration, for which a graph is built.</summary>
    public static bool IsCheckpoint(string path) => Containers.Containers.Get(Checkpoint).Recognizes(path) || (File.Exists(path) && Containers.Containers.Get(Gguf).Recognizes(path));

    /// <summary>A file of such a model, for example its tokenizer; null when it has none of that name.</summary>
    public static Func<string, ReadOnlyMemory<byte>?> Files(string path, int maxBytes)
    {
        if (Directory.Exists(path))
        {
            return name =>
            {
                if (!File.Exists(Path.Combine(path, name)))
                {
                    return null;
                }

                using MappedFile file = MappedFile.Open(Path.Combine(path, name));
                return file.Region(0, file.LengthBytes).ToArray(maxBytes);
            };
        }

        using ImportedModel imported = Import(path, weightsOnly: true, out _, CancellationToken.None);
        Dictionary<string, byte[]> files = imported.Model.Files.ToDictionary(f => f.RelativePath, f => f.Data.ToArray(maxBytes), StringComparer.Ordinal);
        return name => files.TryGetValue(name, out byte[]? bytes) ? (ReadOnlyMemory<byte>?)bytes : null;
    }

    /// <summary>The weights of a model for which no graph is built.</summary>
    private static ImportedModel WithoutGraph(ImportedModel imported, Model checkpoint, string path)
    {
        try
        {
            // What the container read of a GGUF file are its own blocks.
            return ReferenceEquals(checkpoint, imported.Model) && Containers.Containers.Get(Gguf).Recognizes(path)
                ? new ImportedModel(GgufCheckpoint.Plain(imported), imported.Files)
                : new ImportedModel(checkpoint, imported.Files);
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
        if (!IsCheckpoint(path))
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

        foreach ((_, string note) in model.Metadata.Where(m => m.Key == GgufCheckpoint.Note))
        {
            yield return note;
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
