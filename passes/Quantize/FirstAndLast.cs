using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Finds the layers at the ends of a graph: those that read a graph input, and those whose result is a graph output, each directly or
/// through operators that treat every element alike or only move elements. A result that other nodes read as well (a key/value cache
/// that is given out) does not make a layer the last.
/// </summary>
internal static class FirstAndLast
{
    /// <summary>Operators that a result may pass through; of two inputs one must be constant.</summary>
    private static readonly HashSet<string> PassThrough = new(StringComparer.Ordinal)
    {
        "Add", "Sub", "Mul", "Div", "Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Pad", "Clip",
        "Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Tanh", "Relu",
    };

    /// <param name="index">The graph.</param>
    /// <param name="main">The main graph, whose constants are visible too.</param>
    public static HashSet<Node> Find(GraphIndex index, GraphIndex main)
    {
        var found = new HashSet<Node>(ReferenceEqualityComparer.Instance);
        bool IsConstant(string name) => name.Length == 0 || index.Constant(name) is not null
            || (!ReferenceEquals(index, main) && index.ProducerIndex(name) < 0 && !index.IsInput(name) && main.Constant(name) is not null)
            || index.Producer(name)?.Is("Constant") == true;
        bool IsLayer(Node node) => node.Domain.Length == 0 && node.OpType is "MatMul" or "Gemm" or "Conv" or "ConvTranspose";

        foreach (string output in index.Graph.Outputs.Select(v => v.Name))
        {
            WalkBack(index, output, IsLayer, IsConstant, found);
        }

        // The inputs of a subgraph are loop state, not data.
        foreach (string input in ReferenceEquals(index, main) ? index.Graph.Inputs.Select(v => v.Name) : [])
        {
            WalkForward(index, input, IsLayer, IsConstant, found);
        }

        return found;
    }

    private static void WalkBack(GraphIndex index, string output, Func<Node, bool> isLayer, Func<string, bool> isConstant, HashSet<Node> found)
    {
        string value = output;
        int readers = 0;
        while (index.Uses(value).Count == readers && (readers == 0 || !index.IsOutput(value)) && index.Producer(value) is Node node)
        {
            if (isLayer(node))
            {
                found.Add(node);
                return;
            }

            if (node.Domain.Length > 0 || !PassThrough.Contains(node.OpType) || DataInput(node, isConstant) is not string next)
            {
                return;
            }

            value = next;
            readers = 1;
        }
    }

    private static void WalkForward(GraphIndex index, string input, Func<Node, bool> isLayer, Func<string, bool> isConstant, HashSet<Node> found)
    {
        var pending = new Queue<string>([input]);
        var seen = new HashSet<string>(StringComparer.Ordinal) { input };
        while (pending.TryDequeue(out string? value))
        {
            foreach (ValueUse use in index.Uses(value))
            {
                Node node = use.Node;
                if (!ReferenceEquals(use.Owner, index.Graph))
                {
                    continue;
                }

                if (isLayer(node))
                {
                    found.Add(node);
                }
                else if (node.Domain.Length == 0 && PassThrough.Contains(node.OpType) && DataInput(node, isConstant) == value && seen.Add(node.Outputs[0]))
                {
                    pending.Enqueue(node.Outputs[0]);
                }
            }
        }
    }

    /// <summary>The one input that is not constant, or null.</summary>
    private static string? DataInput(Node node, Func<string, bool> isConstant)
    {
        string? data = null;
        foreach (string input in node.Inputs)
        {
            if (!isConstant(input))
            {
                if (data is not null)
                {
                    return null;
                }

                data = input;
            }
        }

        return data;
    }
}
