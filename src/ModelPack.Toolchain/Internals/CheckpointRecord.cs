using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>
/// The <c>checkpoint</c> record of an artifact that was made from a checkpoint with a graph: <c>{"architecture": "...", "cached": false, "cache": "CachedF16", "tensors": [{"name", "dtype", "shape"}]}</c>; and the way from the graph back to the tensors.
/// </summary>
internal static class CheckpointRecord
{
    public static byte[] ToJson(CheckpointForm form)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteString("architecture", form.Architecture);
            json.WriteBoolean("cached", form.Cache is not null);
            if (form.Cache is not (null or nameof(GraphForm.Cached)))
            {
                json.WriteString("cache", form.Cache);
            }

            json.WriteStartArray("tensors");
            foreach (CheckpointTensor tensor in form.Tensors)
            {
                json.WriteStartObject();
                json.WriteString("name", tensor.Name);
                json.WriteString("dtype", tensor.DType.Name());
                json.WriteStartArray("shape");
                foreach (long size in tensor.Shape.Dims)
                {
                    json.WriteNumberValue(size);
                }

                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return stream.ToArray();
    }

    /// <exception cref="ModelPackException">MP4101: not such a record.</exception>
    public static CheckpointForm Parse(ReadOnlySpan<byte> utf8, string path)
    {
        try
        {
            JsonNode json = JsonNode.Parse(utf8)!;
            return new CheckpointForm(
                json["architecture"]!.GetValue<string>(),
                [.. json["tensors"]!.AsArray().Select(t => new CheckpointTensor(
                    t!["name"]!.GetValue<string>(),
                    DTypes.TryParse(t["dtype"]!.GetValue<string>(), out DType dtype) ? dtype : throw new FormatException("an unknown dtype"),
                    new Shape([.. t["shape"]!.AsArray().Select(d => d!.GetValue<long>())])))],
                json["cached"]!.GetValue<bool>() ? (json["cache"]?.GetValue<string>() ?? nameof(GraphForm.Cached)) : null);
        }
        catch (Exception e) when (e is JsonException or NullReferenceException or InvalidOperationException or FormatException or OverflowException or ArgumentException)
        {
            throw new ModelPackException(ErrorCodes.BadProvenance, $"the record of the checkpoint's tensors cannot be read: {e.Message}", path, innerException: e);
        }
    }

    /// <summary>The model as a checkpoint: its tensors under their names, in their shapes and types, with the values they have now. The same model when it never was one.</summary>
    /// <exception cref="ModelPackException">MP4107: a pass has put another tensor in the place of one.</exception>
    public static Model WithoutGraph(Model model, string path)
    {
        if (model.Checkpoint is not CheckpointForm form)
        {
            return model;
        }

        var index = new GraphIndex(model.Graph);
        Dictionary<string, Tensor> carried = model.CarriedTensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
        ImmutableArray<Tensor> tensors =
        [
            .. form.Tensors.Select(t => carried.GetValueOrDefault(t.Name) ?? Restore(t, index) ?? throw new ModelPackException(
                ErrorCodes.ExportNotPossible, "is no longer what it was in the checkpoint: a pass has folded or merged it. 'export --to onnx' writes the graph, 'compile --weights-only' keeps checkpoints as they are", path, t.Name)),
        ];
        return model with { Kind = ModelKind.Checkpoint, Graph = new Graph { Initializers = tensors }, Opsets = model.Opsets.Clear(), IrVersion = 0, Checkpoint = null, CarriedTensors = [] };
    }

    /// <summary>A weight that MatMul reads as it is lies there turned.</summary>
    private static Tensor? Restore(CheckpointTensor original, GraphIndex index)
    {
        if (index.Constant(original.Name) is not Tensor tensor)
        {
            return null;
        }

        bool turned = index.Uses(original.Name).Any(u => u is { InputIndex: 1, Node: { Domain.Length: 0, OpType: "MatMul" } });
        WeightEncoding encoding = turned && tensor.Shape.Rank == 2 ? Structured.Transpose(tensor.Encoding) : tensor.Encoding;
        return encoding.Shape == original.Shape ? tensor with { DType = original.DType, Shape = original.Shape, Encoding = encoding } : null;
    }
}
