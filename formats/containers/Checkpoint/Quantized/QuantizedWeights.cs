using System.Collections.Immutable;
using System.Text.Json.Nodes;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// Checkpoints that other tools quantised: their codes and scales become the streams of weights in formats of ours, under the names that the weights have in plain checkpoints. Nothing is quantised again, and no
/// tensor data is read beyond group orders, zero points of GPTQ and scales of whole tensors.
/// </summary>
/// <remarks>What each is made of is said beside its reader.</remarks>
public static class QuantizedWeights
{
    /// <summary>Makes one weight of what a checkpoint stores for it, lazily.</summary>
    /// <param name="tensors">Tensors of a checkpoint.</param>
    /// <param name="files">Its other files.</param>
    /// <param name="path">The folder, for messages.</param>
    /// <exception cref="ModelPackException">MP1512, MP1513; MP1170 for fp8 in blocks.</exception>
    internal static ImmutableArray<Tensor> Join(ImmutableArray<Tensor> tensors, ImmutableArray<CarriedFile> files, string path)
    {
        if (QuantizationSection.Of(files, path) is not QuantizationSection section)
        {
            return Fp8BlockWeights.Join(tensors, null, path);
        }

        var set = new QuantizedTensors(tensors, path);
        bool packed = tensors.Any(t => t.Name.EndsWith(".qweight", StringComparison.Ordinal));
        return section.Method switch
        {
            "compressed-tensors" => CompressedTensorsWeights.Join(set, section),
            "gptq" when packed => GptqWeights.Join(set, section),
            "awq" when packed => AwqWeights.Join(set, section),
            "mxfp4" => Mxfp4Experts.Join(set),
            "modelopt" => ModelOptWeights.Join(set),
            "fp8" when section.Json["weight_block_size"] is null => ModelOptWeights.Join(set),
            _ => Fp8BlockWeights.Join(tensors, Fp8Declaration.Block(files), path),
        };
    }

    /// <summary>What a checkpoint says of rounded activations, in a few words that end in <c>static</c> or <c>dynamic</c>; null when it says nothing.</summary>
    /// <param name="files">Files of the checkpoint.</param>
    /// <param name="module">Of which module; null: of the first that anything is said of.</param>
    public static string? Activations(IEnumerable<CarriedFile> files, string? module = null)
    {
        if (QuantizationSection.Of(files, "") is not QuantizationSection section)
        {
            return null;
        }

        if (section.Method is "fp8" or "modelopt")
        {
            return section.Text("activation_scheme") is string scheme ? $"8-bit floats, {scheme}" : null;
        }

        IEnumerable<JsonObject> groups = (section.Json["config_groups"] as JsonObject)?.Select(g => g.Value).OfType<JsonObject>() ?? [];
        JsonObject? declared = module is null
            ? groups.Select(g => g["input_activations"]).OfType<JsonObject>().FirstOrDefault()
            : groups.FirstOrDefault(g => new ModuleMatcher(QuantizationSection.Texts(g["targets"])).Match(module) is not null)?["input_activations"] as JsonObject;
        return declared is null ? null
            : $"{declared["num_bits"]?.ToJsonString() ?? "8"}-bit {(QuantizationSection.Text(declared, "type") == "float" ? "floats" : "integers")}, {(declared["dynamic"]?.ToJsonString() is null or "false" ? "static" : "dynamic")}";
    }

    /// <summary>The model for writing all weights dense: its config no longer says that they are quantised, and what said how activations are rounded is gone.</summary>
    public static Model Undeclared(Model model)
    {
        Model plain = Fp8Declaration.Without(model, method => QuantizedCheckpoints.Methods.Contains(method, StringComparer.Ordinal));
        return ReferenceEquals(plain, model) ? model : plain with { Graph = plain.Graph with { Initializers = plain.Graph.Initializers.RemoveAll(t => QuantizedCheckpoints.IsActivationScale(t.Name)) } };
    }
}
