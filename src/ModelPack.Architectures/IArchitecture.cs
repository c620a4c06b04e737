using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>A family of models that share one definition: from configuration and named tensors to a graph. Registered in <see cref="ArchitectureCatalog"/>; stateless.</summary>
public interface IArchitecture
{
    /// <summary>The class that <c>architectures</c> of config.json names, for example <c>LlamaForCausalLM</c>; of a family of several classes the bare model.</summary>
    string ClassName { get; }

    /// <summary>One line for people: what sets the family apart.</summary>
    string Summary { get; }

    /// <summary>True when a configuration describes a model of this family. The catalogue asks in order, so a special case goes before what it is a case of.</summary>
    bool Claims(ModelConfig config);

    /// <summary>What a tensor of a checkpoint is for that the architecture knows and its graph does without; null for all others.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="name">Name of the tensor.</param>
    string? Extra(ModelConfig config, string name) => null;

    /// <summary>Builds the graph. Weights stay where they are: no tensor data is read.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="weights">The tensors of the checkpoint; what the graph reads is taken out of them.</param>
    /// <param name="form">What the graph takes and gives.</param>
    /// <exception cref="ModelPackException">MP1503 to MP1510.</exception>
    Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form);
}
