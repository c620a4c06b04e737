using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Multiplies values by orthogonal matrices and the weights around them by the same, so that channels far larger than others are spread over all (Ashkboos et al., "QuaRot: outlier-free 4-bit inference in rotated
/// LLMs", 2024): outputs stay, up to the rounding of f32.
/// <code>
/// stream   x = E[ids] + sum z_i W_i;  y = norm(x) * g U    =>   E R, W_i R;  norm without g;  R^T diag(g) U          (R1)
/// heads    v = x V;  o = (P v) O                           =>   V R_h, R_h^T O, one R_h for each head of v           (R2)
/// online   y = z D                                         =>   (z R) R^T D, z R computed by the graph
/// </code>
/// R is D H / sqrt(n), H a Hadamard matrix (<see cref="HadamardMatrix"/>), D random signs from the seed of the compilation. What cannot be rotated exactly is left and reported with its reason.
/// </summary>
internal sealed class RotatePass(PassOptions options, TensorRules rules) : IPass
{
    private readonly TensorSelection _selection = new(options, rules);
    private readonly int _most = options.Integer("block") is > 0 and long block ? (int)block : int.MaxValue;

    public string Name => "rotate";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model.Graph.Initializers.IsEmpty ? model
                : throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph that says which weights share channels: compile the model as .onnx, or take the pass 'rotate' out of the recipe");
        }

        context.Cancellation.ThrowIfCancellationRequested();
        var index = new GraphIndex(model.Graph);
        var editor = new GraphEditor(model.Graph);
        var rotations = new Rotations(editor, index, context);
        ResidualStream[] streams = [.. Streams(index, context)];
        HashSet<int> rotatedInputs = options.Flag("heads") ? RotateHeads(index, rotations, context) : [];
        foreach (ResidualStream stream in streams)
        {
            if (options.Flag("stream"))
            {
                RotateStream(editor, index, rotations, stream, context);
            }

            if (options.Text("online") == "down")
            {
                RotateInputs(editor, index, rotations, stream, rotatedInputs, context);
            }
        }

        context.Measure("constants_rotated", rotations.Count);
        if (rotations.Count == 0)
        {
            return model;
        }

        rotations.Apply();
        Model rotated = model with { Graph = DeadCode.Remove(editor.Build()) };
        SparseWeight.WarnOfLost(model, rotated, "mixes their rows or columns", context);
        return rotated;
    }

    /// <summary>All streams that can be rotated; reports why others cannot.</summary>
    private IEnumerable<ResidualStream> Streams(GraphIndex index, PassContext context)
    {
        foreach ((Node table, ResidualStream stream, string? unfit) in ResidualStream.All(index))
        {
            string? refusal = unfit ?? stream.Writers.Concat(stream.Readers).Select(u => Refusal(u.Tensor)).FirstOrDefault(r => r is not null)
                ?? (stream.Readers.Count == 0 ? "no linear layer reads it" : null);
            if (refusal is null)
            {
                yield return stream;
            }
            else
            {
                context.Report(DiagnosticSeverity.Warning, $"the values that begin with it are not rotated: {refusal}", table.Input(0));
            }
        }
    }

    private void RotateStream(GraphEditor editor, GraphIndex index, Rotations rotations, ResidualStream stream, PassContext context)
    {
        var random = new SplitMix64(context.PassSeed);
        ChannelRotation rotation = stream.KeepsMean ? ChannelRotation.KeepingMean(stream.Channels, _most, random) : ChannelRotation.Random(stream.Channels, HadamardMatrix.Dividing(stream.Channels, _most), random);
        foreach ((WeightUse reader, Tensor shift) in stream.Shifts)
        {
            NormShift.Insert(editor, index, rotations, reader, shift, context);
        }

        foreach (WeightUse use in stream.Writers.Concat(stream.Readers))
        {
            rotations.Add(use, rotation);
        }

        foreach ((int position, string kept) in stream.Gains)
        {
            editor.RemoveNode(position);
            editor.RedirectUses(index.Graph.Nodes[position].Outputs[0], kept);
        }

        if (stream.Norms.Count > 0)
        {
            float[] ones = new float[stream.Channels];
            Array.Fill(ones, 1);
            string name = editor.UniqueName("rotated_norm_gain");
            editor.AddInitializer(SmallConstants.Floats(name, new Shape(stream.Channels), ones));
            foreach (int position in stream.Norms)
            {
                Node node = rotations.Node(position);
                rotations.Replace(position, node with { Inputs = [node.Inputs[0], name] });
            }
        }

        context.Measure("stream_block", rotation.Block.Order);
    }

    /// <summary>Rotates between value and output projections.</summary>
    /// <returns>Positions of the layers whose input is rotated.</returns>
    private HashSet<int> RotateHeads(GraphIndex index, Rotations rotations, PassContext context)
    {
        var done = new HashSet<int>();
        for (int i = 0; i < index.Graph.Nodes.Length; i++)
        {
            Node node = index.Graph.Nodes[i];
            if (LinearNode.Weight(index, node) is not Tensor output || AttentionHeads.Match(index, node.Input(0), output.Shape[LinearNode.InputAxis(node)]) is not AttentionHeads heads)
            {
                continue;
            }

            string? refusal = FindValue(index, node.Input(0), heads, out List<WeightUse> writers);
            refusal ??= writers.Select(w => w.Tensor).Append(output).Select(t => Refusal(t) ?? RotatedTensor.Refusal(t)).FirstOrDefault(r => r is not null);
            if (refusal is not null)
            {
                context.Report(DiagnosticSeverity.Info, $"its input is not rotated: {refusal}", output.Name);
                continue;
            }

            // A seed for each layer, whatever other layers are rotated.
            var random = new SplitMix64(context.PassSeed + (ulong)i + 1);
            ChannelRotation value = ChannelRotation.Random(checked((int)heads.ValueChannels), HadamardMatrix.Dividing(heads.HeadSize, _most), random);
            foreach (WeightUse writer in writers)
            {
                rotations.Add(writer, value);
            }

            ImmutableArray<double> factors = heads.Sharing.IsDefault ? value.Factors : [.. heads.Sharing.Select(c => value.Factors[c])];
            rotations.Add(new WeightUse(i, 1, output, LinearNode.InputAxis(node)), value with { Factors = factors });
            done.Add(i);
        }

        context.Measure("heads_rotated", done.Count);
        return done;
    }

    /// <summary>The constants that make what the heads sum.</summary>
    private static string? FindValue(GraphIndex index, string summed, AttentionHeads heads, out List<WeightUse> writers)
    {
        writers = [];
        if (index.IsOutput(summed) || index.Uses(summed).Count(u => !u.Node.Is("Shape")) != 1)
        {
            return $"'{summed}' has other readers";
        }

        string value = heads.Value;
        for (int depth = 0; depth < 2; depth++)
        {
            if (index.IsOutput(value) || index.Uses(value).Count(u => !u.Node.Is("Shape")) != 1)
            {
                return $"'{value}' has other readers";
            }

            int position = index.ProducerIndex(value);
            if (position >= 0 && LinearNode.Weight(index, index.Graph.Nodes[position]) is not null)
            {
                writers.AddRange(LinearNode.Writers(index, position, heads.ValueChannels, out string? refusal));
                return refusal;
            }

            if (position < 0 || index.Graph.Nodes[position] is not { OpType: "Add", Domain.Length: 0 } add)
            {
                break;
            }

            int bias = index.Initializer(add.Input(0)) is null ? 1 : 0;
            if (LinearNode.AddVector(index, position, bias, heads.ValueChannels, writers) is string reason)
            {
                return reason;
            }

            value = add.Input(1 - bias);
        }

        return $"no linear layer makes '{value}'";
    }

    /// <summary>Rotates, in the graph, what layers read that write into the stream.</summary>
    private void RotateInputs(GraphEditor editor, GraphIndex index, Rotations rotations, ResidualStream stream, HashSet<int> rotated, PassContext context)
    {
        int count = 0;
        foreach (WeightUse writer in stream.Writers)
        {
            Node node = index.Graph.Nodes[writer.Node];
            if (writer.Input == 1 && LinearNode.Weight(index, node) is not null && !stream.Holds(node.Input(0)) && !rotated.Contains(writer.Node))
            {
                OnlineRotation.Insert(editor, rotations, writer with { Axis = LinearNode.InputAxis(node) }, _most, new SplitMix64(context.PassSeed + (ulong)writer.Node + 1));
                count++;
            }
        }

        context.Measure("inputs_rotated_online", count);
    }

    private string? Refusal(Tensor tensor) => _selection.Refusal(tensor.Name) is string reason ? $"'{tensor.Name}' is left alone: {reason}" : null;
}
