namespace ModelPack.Compiler;

/// <summary>A constant tensor: an initializer of a graph or a tensor of a checkpoint. Lazy: no bytes are held.</summary>
public sealed record Tensor
{
    public required string Name { get; init; }

    /// <summary>Element type that the graph sees. The encoding may store something else, for example <c>int4</c> under <c>F32</c>.</summary>
    public required DType DType { get; init; }

    public required Shape Shape { get; init; }

    /// <summary>How the values are stored; its shape equals <see cref="Shape"/>.</summary>
    public required WeightEncoding Encoding { get; init; }

    /// <summary>Container fields that the IR does not model, kept for a faithful export. See <see cref="ForeignFields"/>.</summary>
    public ForeignFields Foreign { get; init; }

    /// <summary>A tensor stored plainly in its own dtype.</summary>
    public static Tensor Raw(string name, DType dtype, Shape shape, TensorData data) =>
        new() { Name = name, DType = dtype, Shape = shape, Encoding = DenseEncoding.Raw(dtype, shape, data) };

    /// <summary>The bytes, when the tensor is stored plainly in its own dtype (not compressed, not pending).</summary>
    public bool TryGetRawData(out TensorData data)
    {
        bool raw = Encoding is DenseEncoding { IsPending: false, Streams: [{ Role: "values" }] } dense && dense.Format.ToString() == DType.Name();
        data = raw ? ((DenseEncoding)Encoding).Streams[0].Data : TensorData.Empty;
        return raw;
    }
}
