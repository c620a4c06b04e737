using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>What was decided about a graph.</summary>
/// <param name="Selection">Units that work on codes.</param>
/// <param name="Values">Parameters of every value that is made or read as codes; a moved value has those of its source.</param>
/// <param name="Weights">Encoded weights by name.</param>
/// <param name="Errors">Their relative errors, where they were encoded here.</param>
internal sealed record QuantizationPlan(UnitSelection Selection, Dictionary<string, QuantizedValue> Values, Dictionary<string, Tensor> Weights, Dictionary<string, double?> Errors)
{
    /// <summary>What is added to the output of a unit per channel, by name of the output: makes up for the mean of its error.</summary>
    public Dictionary<string, float[]> Corrections { get; } = new(StringComparer.Ordinal);
}
