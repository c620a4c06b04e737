using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>All architectures for which graphs can be built, in the order they are asked.</summary>
public static class ArchitectureCatalog
{
    /// <summary>Versions of operator set and file format: what ONNX Runtime has read since 1.11.</summary>
    private const int Opset = 17;

    private const int IrVersion = 8;

    public static IReadOnlyList<IArchitecture> All { get; } =
    [
        new BitNetLlamaArchitecture(), // before Llama: a Llama by its class, with ternary weights by what its config says besides
        new BitNetArchitecture(),
        new LlamaArchitecture(),
        new MistralArchitecture(),
        new MixtralArchitecture(),
        new Qwen2Architecture(),
        new Qwen3Architecture(),
        new Qwen3MoeArchitecture(),
        new DeepSeekV2Architecture(),
        new DeepSeekV3Architecture(),
        new Phi3Architecture(),
        new Gemma2Architecture(),
        new Gemma3Architecture(),
        new BertArchitecture(),
        new RobertaArchitecture(),
        new DistilBertArchitecture(),
        new MPNetArchitecture(),
    ];

    /// <summary>The architecture of a configuration.</summary>
    /// <exception cref="ModelPackException">MP1501, MP1502.</exception>
    public static IArchitecture For(ModelConfig config)
    {
        string name = config.Architecture;
        return All.FirstOrDefault(a => a.Claims(config))
            ?? throw new ModelPackException(ErrorCodes.UnknownArchitecture, $"no graph can be built for '{name}'; there are: {string.Join(", ", All.Select(a => a.ClassName).Distinct(StringComparer.Ordinal))}");
    }

    /// <summary>
    /// True for the errors which mean that a checkpoint may be in order and only its graph cannot be built: it has no (known) architecture, or a feature that is not built yet. All others mean that it contradicts
    /// itself.
    /// </summary>
    public static bool IsNotBuilt(ErrorCode code) =>
        code == ErrorCodes.ConfigWithoutArchitecture || code == ErrorCodes.UnknownArchitecture || code == ErrorCodes.UnsupportedFeature;

    /// <summary>Gives a checkpoint its graph. Every tensor is read by the graph or listed in <see cref="Model.CarriedTensors"/>.</summary>
    /// <param name="checkpoint">Tensors and files, without a graph.</param>
    /// <param name="form">What the graph takes and gives.</param>
    /// <returns>A model that can be run, with the tensors of the checkpoint under their own names.</returns>
    /// <exception cref="ModelPackException">MP1500 to MP1510; no tensor data is read.</exception>
    public static Model Build(Model checkpoint, GraphForm form = GraphForm.Full)
    {
        ModelConfig config = ModelConfig.Read(checkpoint.Files);
        IArchitecture architecture = For(config);
        var weights = new CheckpointWeights(checkpoint.Graph.Initializers);
        Graph graph = architecture.Build(config, weights, form);
        return checkpoint with
        {
            Kind = ModelKind.Onnx,
            Graph = graph,
            Opsets = ImmutableSortedDictionary<string, long>.Empty.WithComparers(StringComparer.Ordinal).Add("", Opset).AddRange(graph.Nodes.Select(n => n.Domain).Where(d => d.Length > 0).Distinct().Select(d => KeyValuePair.Create(d, 1L))),
            IrVersion = IrVersion,
            Checkpoint = new CheckpointForm(architecture.ClassName, [.. checkpoint.Graph.Initializers.Select(t => new CheckpointTensor(t.Name, t.DType, t.Shape))], form == GraphForm.Full ? null : form.ToString()),
            CarriedTensors = weights.Leave(name => IsOfNoUse(name) || architecture.Extra(config, name) is not null),
        };
    }

    /// <summary>What the carried tensors of a model are for that its architecture knows, in a few words each.</summary>
    /// <param name="model">A model that <see cref="Build"/> made.</param>
    public static IReadOnlyList<string> Extras(Model model)
    {
        if (model.Checkpoint is null || model.CarriedTensors.IsEmpty)
        {
            return [];
        }

        ModelConfig config = ModelConfig.Read(model.Files);
        IArchitecture architecture = For(config);
        return [.. model.CarriedTensors.Select(t => architecture.Extra(config, t.Name)).OfType<string>().Distinct(StringComparer.Ordinal)];
    }

    /// <summary>What checkpoints hold besides the weights: frequencies of rotary embeddings, which follow from the configuration, output layers of models that tie theirs to the embedding, and scales of activations that other tools round.</summary>
    private static bool IsOfNoUse(string name) => name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal) || name == "lm_head.weight" || QuantizedCheckpoints.IsActivationScale(name);
}
