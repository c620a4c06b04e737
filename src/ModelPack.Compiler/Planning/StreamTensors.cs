namespace ModelPack.Compiler.Planning;

/// <summary>Makes initializers out of the streams of block weights, once per weight however many nodes use it.</summary>
internal sealed class StreamTensors(HashSet<string> names)
{
    private readonly Dictionary<(string Tensor, string Role, DType DType, int Rank), string> _made = [];

    /// <summary>The initializers made, in order.</summary>
    public List<Tensor> Tensors { get; } = [];

    /// <summary>Their bindings, in the same order.</summary>
    public List<InitializerBinding> Bindings { get; } = [];

    /// <summary>The initializer that holds a stream.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="dense">Its dense node.</param>
    /// <param name="role">Which stream.</param>
    /// <param name="dtype">Type the kernel wants: U8, I8 for codes as signed integers, or F32 for scales.</param>
    /// <param name="shape">Shape the kernel wants.</param>
    /// <param name="transposed">True when the kernel wants the transpose of the codes; I8 only.</param>
    /// <returns>Its name.</returns>
    public string Get(Tensor weight, DenseEncoding dense, string role, DType dtype, Shape shape, bool transposed = false)
    {
        var key = (weight.Name, role, dtype, shape.Rank);
        if (_made.TryGetValue(key, out string? name))
        {
            return name;
        }

        name = GraphValueNames.Fresh(names, $"{weight.Name}_{role.Replace('-', '_')}");
        TensorData data = dense.Streams.FirstOrDefault(s => s.Role == role)?.Data is TensorData stored
            ? dtype == DType.I8 ? new SignedCodesData(stored, transposed ? shape[1] : 0)
            : stored.LengthBytes == dtype.StorageBytes(shape.ElementCount) ? stored : new WidenedScales(stored, dense.Format.Text("scale", "f32"))
            : new PendingStream(weight.Name, dtype.StorageBytes(shape.ElementCount));
        Tensors.Add(Tensor.Raw(name, dtype, shape, data));
        Bindings.Add(new InitializerBinding(name, weight.Name, role, dtype, shape, transposed));
        _made.Add(key, name);
        return name;
    }

    /// <summary>The initializer that holds a component of a weight as dense f32.</summary>
    /// <param name="component">The component, under the name of <see cref="InitializerBinding.ComponentName"/>.</param>
    /// <returns>Its name.</returns>
    public string GetDense(Tensor component)
    {
        var key = (component.Name, "", DType.F32, component.Shape.Rank);
        if (!_made.TryGetValue(key, out string? name))
        {
            name = GraphValueNames.Fresh(names, component.Name);
            Tensors.Add(component with { Name = name, DType = DType.F32 });
            Bindings.Add(new InitializerBinding(name, component.Name, null, DType.F32, component.Shape));
            _made.Add(key, name);
        }

        return name;
    }

    /// <summary>The initializer that holds a stored matrix of plain floats as it is, behind a header.</summary>
    /// <param name="weight">The weight, stored so.</param>
    /// <param name="bytes">Length with the header.</param>
    /// <returns>Its name.</returns>
    public string GetNeuronRows(Tensor weight, long bytes)
    {
        var key = (weight.Name, InitializerBinding.NeuronRows, DType.U8, 1);
        if (!_made.TryGetValue(key, out string? name))
        {
            var shape = new Shape(bytes);
            name = GraphValueNames.Fresh(names, $"{weight.Name}_neurons");
            Tensors.Add(Tensor.Raw(name, DType.U8, shape, new PendingStream(weight.Name, bytes)));
            Bindings.Add(new InitializerBinding(name, weight.Name, InitializerBinding.NeuronRows, DType.U8, shape));
            _made.Add(key, name);
        }

        return name;
    }

    /// <summary>True when a chosen operator reads a weight in execution layout.</summary>
    public bool HasTiles(Tensor weight) => _made.ContainsKey(TilesOf(weight, transposed: false));

    /// <summary>The initializer that holds a weight in execution layout.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="bytes">Length of the layout.</param>
    /// <param name="transposed">True for the layout of the transpose of the stored matrix.</param>
    /// <returns>Its name.</returns>
    public string GetTiles(Tensor weight, long bytes, bool transposed = false)
    {
        var key = TilesOf(weight, transposed);
        if (!_made.TryGetValue(key, out string? name))
        {
            var shape = new Shape(bytes);
            name = GraphValueNames.Fresh(names, $"{weight.Name}_tiles");
            Tensors.Add(Tensor.Raw(name, DType.U8, shape, new PendingStream(weight.Name, bytes)));
            Bindings.Add(new InitializerBinding(name, weight.Name, InitializerBinding.Tiles, DType.U8, shape, transposed));
            _made.Add(key, name);
        }

        return name;
    }

    private static (string Tensor, string Role, DType DType, int Rank) TilesOf(Tensor weight, bool transposed) =>
        (weight.Name, InitializerBinding.Tiles + (transposed ? " of the transpose" : ""), DType.U8, 1);
}
