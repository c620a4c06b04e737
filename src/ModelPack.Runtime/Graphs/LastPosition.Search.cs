namespace ModelPack.Runtime.Graphs;

/// <content>Finds the head of a graph.</content>
internal static partial class LastPosition
{
    /// <summary>Goes from the logits towards the product.</summary>
    private sealed class Search
    {
        private readonly List<Node> _nodes;
        private readonly HashSet<string> _constants;
        private readonly Dictionary<string, int> _makers = new(StringComparer.Ordinal);
        private readonly HashSet<int> _head = [];

        public Search(List<Node> nodes, HashSet<string> constants)
        {
            _nodes = nodes;
            _constants = constants;
            for (int i = 0; i < nodes.Count; i++)
            {
                foreach (string output in nodes[i].Outputs)
                {
                    _makers[output] = i;
                }

                // Nodes come in topological order; what depends on nothing is a constant, and so is what depends on constants.
                if (nodes[i].Inputs.Count == 0 ? nodes[i].Op == "Constant" : nodes[i].Inputs.All(input => input.Length == 0 || constants.Contains(input)))
                {
                    constants.UnionWith(nodes[i].Outputs);
                }
            }
        }

        public Head? Run(string logits, HashSet<string> otherOutputs)
        {
            string? input = Follow(logits);
            if (input is null)
            {
                return null;
            }

            // What the head makes is read by the head alone.
            var values = new HashSet<string>(_head.SelectMany(n => _nodes[n].Outputs), StringComparer.Ordinal);
            bool leaks = values.Overlaps(otherOutputs) || values.Contains(input) || _constants.Contains(input);
            for (int i = 0; i < _nodes.Count && !leaks; i++)
            {
                leaks = !_head.Contains(i) && _nodes[i].Inputs.Any(values.Contains);
            }

            return leaks ? null : new Head(input, _head, values);
        }

        private string? Follow(string value)
        {
            while (Maker(value) is int number)
            {
                Node node = _nodes[number];
                _head.Add(number);
                if (Products.Contains(node.Op) && node.Op != "Gemm")
                {
                    return OnlyFirstVaries(node) ? node.Inputs[0] : null;
                }

                if (ElementWise.Contains(node.Op))
                {
                    value = node.Inputs[0];
                }
                else if (WithConstant.Contains(node.Op) && node.Inputs.Where(i => !_constants.Contains(i)).ToArray() is [string one])
                {
                    value = one;
                }
                else
                {
                    return node.Op == "Reshape" ? AcrossReshape(node) : null;
                }
            }

            return null;
        }

        /// <summary>Reshape(product(Reshape(x, [-1, hidden])), shape made of Shape(x)).</summary>
        private string? AcrossReshape(Node outer)
        {
            if (Maker(outer.Inputs[0]) is not int product || !Products.Contains(_nodes[product].Op) || !OnlyFirstVaries(_nodes[product])
                || Maker(_nodes[product].Inputs[0]) is not int inner || _nodes[inner].Op != "Reshape" || !_constants.Contains(_nodes[inner].Inputs[1]))
            {
                return null;
            }

            _head.Add(product);
            _head.Add(inner);
            string input = _nodes[inner].Inputs[0];
            return ComesFromShape(outer.Inputs[1], input) ? input : null;
        }

        private bool ComesFromShape(string value, string of)
        {
            if (_constants.Contains(value))
            {
                return false; // A fixed number of positions.
            }

            if (Maker(value) is not int number)
            {
                return false;
            }

            Node node = _nodes[number];
            _head.Add(number);
            return node.Op switch
            {
                "Shape" => node.Inputs[0] == of,
                "Concat" or "Gather" or "Unsqueeze" or "Slice" or "Squeeze" => node.Inputs.All(i => _constants.Contains(i) || ComesFromShape(i, of)),
                _ => false,
            };
        }

        private bool OnlyFirstVaries(Node node) => !_constants.Contains(node.Inputs[0]) && node.Inputs.Skip(1).All(i => i.Length == 0 || _constants.Contains(i));

        private int? Maker(string value) => _makers.TryGetValue(value, out int number) ? number : null;
    }
}
