namespace ModelPack.Passes;

/// <summary>
/// Chooses which units work on codes. Weighted ones that are allowed to do; others where what they read is in codes already and what they make is read as codes again (or is small): every change between codes
/// and floats is a pass over the values.
/// </summary>
internal sealed class UnitSelection
{
    /// <summary>How many times smaller an input must be for it to be brought into codes only for an arithmetic unit.</summary>
    private const int SmallInput = 8;

    private readonly QuantizableNetwork _network;
    private readonly HashSet<QuantizableUnit> _selected = new(ReferenceEqualityComparer.Instance);

    /// <param name="network">The units.</param>
    /// <param name="allowed">Whether a unit may work on codes.</param>
    /// <param name="elements">Elements of a value in an average sample.</param>
    public UnitSelection(QuantizableNetwork network, Func<QuantizableUnit, bool> allowed, Func<string, double> elements)
    {
        _network = network;
        var refused = new HashSet<QuantizableUnit>(ReferenceEqualityComparer.Instance);
        for (bool changed = true; changed;)
        {
            _selected.Clear();
            foreach (QuantizableUnit unit in network.Units)
            {
                if (!refused.Contains(unit) && allowed(unit) && CanRead(unit, elements))
                {
                    _selected.Add(unit);
                }
            }

            changed = !network.All && Prune(refused);
        }
    }

    /// <summary>The chosen units in graph order.</summary>
    public IEnumerable<QuantizableUnit> Selected => _network.Units.Where(_selected.Contains);

    /// <summary>True for a value that exists as codes because a chosen unit makes it.</summary>
    public bool MakesCodes(string value) => _network.Maker(value) is QuantizableUnit unit && _selected.Contains(unit) && unit.WritesCodes;

    /// <summary>The value that has the parameters of <paramref name="value"/>: what its codes were moved from, else itself.</summary>
    public string Source(string value) => MakesCodes(value) ? _network.Root(value) : value;

    private bool CanRead(QuantizableUnit unit, Func<string, double> elements) => unit.Kind switch
    {
        _ when _network.All => unit.Kind != UnitKind.Passing || MakesCodes(unit.Node.Inputs[0]),
        UnitKind.Weighted => true,
        UnitKind.Arithmetic => unit.Data.Any(MakesCodes) && unit.Data.All(v => MakesCodes(v) || elements(v) * SmallInput <= unit.Data.Max(elements)),
        _ => unit.Data.All(MakesCodes),
    };

    /// <summary>Refuses units that would make codes for nobody; true when there were any.</summary>
    private bool Prune(HashSet<QuantizableUnit> refused)
    {
        int before = refused.Count;
        for (bool again = true; again;)
        {
            var read = _selected.SelectMany(u => u.Data).ToHashSet(StringComparer.Ordinal);
            QuantizableUnit[] useless = [.. _selected.Where(u => u.Kind != UnitKind.Weighted && !u.Node.Is("GlobalAveragePool") && !read.Contains(u.Output))];
            again = useless.Length > 0;
            foreach (QuantizableUnit unit in useless)
            {
                refused.Add(unit);
                _selected.Remove(unit);
            }
        }

        return refused.Count > before;
    }
}
