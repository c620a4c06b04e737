using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Takes the last floats out of a quantised graph: inputs that are only made into codes become codes, and so do outputs that are only made of them. What the codes mean is in the metadata, under
/// <c>modelpack.codes.NAME</c>: <c>scale=0.0039,zero=128</c>.
/// </summary>
internal static class IntegerInterface
{
    /// <summary>The model with codes for inputs and outputs where that is possible.</summary>
    public static Model Apply(Model model)
    {
        var index = new GraphIndex(model.Graph);
        var editor = new GraphEditor(model.Graph);
        ImmutableArray<ValueInfo> inputs = model.Graph.Inputs;
        ImmutableArray<ValueInfo> outputs = model.Graph.Outputs;
        ImmutableArray<KeyValuePair<string, string>> metadata = model.Metadata;
        foreach (ValueInfo input in inputs)
        {
            if (index.Uses(input.Name) is [{ Node: { OpType: "QuantizeLinear", Domain: "" } node } use] && !index.IsOutput(input.Name) && Meaning(index, node) is string meaning)
            {
                editor.RemoveNode(use.NodeIndex);
                editor.RedirectUses(node.Outputs[0], input.Name);
                inputs = inputs.Replace(input, input with { Type = input.Type with { DType = DType.U8 } });
                metadata = metadata.Add(new($"modelpack.codes.{input.Name}", meaning));
            }
        }

        foreach (ValueInfo output in outputs)
        {
            int position = index.ProducerIndex(output.Name);
            if (position >= 0 && index.Graph.Nodes[position] is { OpType: "DequantizeLinear", Domain: "" } node && index.Uses(output.Name).Count == 0 && Meaning(index, node) is string meaning
                && index.Producer(node.Inputs[0]) is { OpType: "QuantizeLinear" } && index.Uses(node.Inputs[0]).Count == 1)
            {
                int maker = index.ProducerIndex(node.Inputs[0]);
                editor.RemoveNode(position);
                editor.ReplaceNode(maker, index.Graph.Nodes[maker] with { Outputs = [output.Name] });
                outputs = outputs.Replace(output, output with { Type = output.Type with { DType = DType.U8 } });
                metadata = metadata.Add(new($"modelpack.codes.{output.Name}", meaning));
            }
        }

        return model with { Graph = DeadCode.Remove(editor.Build() with { Inputs = inputs, Outputs = outputs }), Metadata = metadata };
    }

    private static string? Meaning(GraphIndex index, Node node) =>
        FloatConstant.Scalar(index.Constant(node.Input(1)), 1) is float scale && index.Constant(node.Input(2)) is Tensor zero && zero.TryGetRawData(out TensorData data)
            ? string.Create(CultureInfo.InvariantCulture, $"scale={scale:R},zero={data.ToArray()[0]}")
            : null;
}
