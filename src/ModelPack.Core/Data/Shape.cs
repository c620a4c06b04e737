using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack;

/// <summary>A concrete tensor shape: non-negative dimensions, outermost first. The scalar has rank 0 and one element.</summary>
public readonly struct Shape : IEquatable<Shape>
{
    private readonly ImmutableArray<long> _dims;

    /// <param name="dims">Dimensions, outermost first; each must be at least 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A dimension is negative.</exception>
    public Shape(params ReadOnlySpan<long> dims)
    {
        foreach (long d in dims)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(d, nameof(dims));
        }

        _dims = [.. dims];
    }

    /// <summary>The shape of a scalar.</summary>
    public static Shape Scalar => default;

    /// <summary>The dimensions, outermost first; empty for a scalar.</summary>
    public ImmutableArray<long> Dims => _dims.IsDefault ? [] : _dims;

    /// <summary>Number of dimensions.</summary>
    public int Rank => Dims.Length;

    /// <summary>Dimension <paramref name="axis"/>; negative axes count from the end.</summary>
    public long this[int axis] => Dims[axis < 0 ? axis + Rank : axis];

    /// <summary>Product of all dimensions (1 for a scalar).</summary>
    /// <exception cref="OverflowException">The product does not fit in 63 bits.</exception>
    public long ElementCount => TryElementCount(out long n) ? n : throw new OverflowException($"shape {this} has too many elements");

    /// <summary>Length of the last axis: the columns of the matrix view (1 for a scalar).</summary>
    public long Columns => Rank == 0 ? 1 : Dims[^1];

    /// <summary>
    /// Product of all axes but the last: the rows of the matrix view. A shape without elements has its true row count where that
    /// fits in 63 bits, else 0.
    /// </summary>
    /// <exception cref="OverflowException">The shape has elements and the product does not fit.</exception>
    public long Rows =>
        Rank == 0 ? 1
        : new Shape(Dims.AsSpan()[..^1]).TryElementCount(out long rows) ? rows
        : Columns == 0 ? 0
        : throw new OverflowException($"shape {this} has too many rows");

    /// <summary>Product of all dimensions without throwing; a zero dimension makes it 0 whatever the others are.</summary>
    public bool TryElementCount(out long count)
    {
        long product = 1;
        bool overflow = false;
        foreach (long d in Dims.AsSpan())
        {
            if (d == 0)
            {
                count = 0;
                return true;
            }

            overflow |= product > long.MaxValue / d;
            product = overflow ? 1 : product * d;
        }

        count = overflow ? 0 : product;
        return !overflow;
    }

    public bool Equals(Shape other) => Dims.AsSpan().SequenceEqual(other.Dims.AsSpan());

    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (long d in Dims)
        {
            hash.Add(d);
        }

        return hash.ToHashCode();
    }

    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    /// <summary>The form used in messages: <c>[64,128]</c>, <c>[]</c> for a scalar.</summary>
    public override string ToString() => $"[{string.Join(',', Dims.Select(d => d.ToString(CultureInfo.InvariantCulture)))}]";
}
