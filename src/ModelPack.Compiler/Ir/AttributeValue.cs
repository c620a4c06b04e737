using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>The value of a node attribute: the kinds of ONNX.</summary>
public abstract record AttributeValue
{
    public sealed record Float(float Value) : AttributeValue;

    public sealed record Int(long Value) : AttributeValue;

    /// <summary>Bytes: ONNX strings are not promised to be UTF-8.</summary>
    public sealed record Text(ReadOnlyMemory<byte> Value) : AttributeValue
    {
        public Text(string value)
            : this(System.Text.Encoding.UTF8.GetBytes(value))
        {
        }

        public bool Equals(Text? other) => other is not null && Value.Span.SequenceEqual(other.Value.Span);

        public override int GetHashCode() => Value.Length;

        public override string ToString() => System.Text.Encoding.UTF8.GetString(Value.Span);
    }

    public sealed record TensorValue(Tensor Value) : AttributeValue;

    public sealed record GraphValue(Graph Value) : AttributeValue;

    public sealed record Floats(ImmutableArray<float> Values) : AttributeValue;

    public sealed record Ints(ImmutableArray<long> Values) : AttributeValue;

    public sealed record Texts(ImmutableArray<Text> Values) : AttributeValue;

    public sealed record TensorValues(ImmutableArray<Tensor> Values) : AttributeValue;

    public sealed record GraphValues(ImmutableArray<Graph> Values) : AttributeValue;

    public sealed record SparseValue(SparseTensor Value) : AttributeValue;

    public sealed record SparseValues(ImmutableArray<SparseTensor> Values) : AttributeValue;

    /// <summary>Inside a function body: the value of the caller's attribute of that name.</summary>
    public sealed record Reference(string AttributeName) : AttributeValue;

    /// <summary>Kinds that passes never touch (types, kinds of newer schemas): the container's serialised form.</summary>
    public sealed record Opaque(ForeignFields Value) : AttributeValue;
}

/// <summary>A named attribute.</summary>
/// <param name="Name">Attribute name.</param>
/// <param name="Value">Its value.</param>
/// <param name="Foreign">Container fields not modelled (doc string; the declared type of a reference).</param>
public sealed record NodeAttribute(string Name, AttributeValue Value, ForeignFields Foreign = default);
