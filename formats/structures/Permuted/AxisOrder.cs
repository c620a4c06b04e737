namespace ModelPack.Structures;

/// <summary>
/// A permutation reduced to what moves: axes of length 1 dropped, axes that stay neighbours merged. A matrix transpose becomes dims [K, N]
/// with strides [1, K]; anything that keeps the element order becomes a single axis of stride 1.
/// </summary>
/// <param name="Dims">Axis lengths of the component, outermost first; at least one.</param>
/// <param name="Strides">For each of these axes, how far apart in the composed tensor its neighbours lie, in elements.</param>
internal readonly record struct AxisOrder(long[] Dims, long[] Strides)
{
    /// <summary>Elements along the innermost component axis.</summary>
    public long Columns => Dims[^1];

    /// <summary>Reduces a permutation of a shape that has elements.</summary>
    public static AxisOrder Reduce(Shape component, ReadOnlySpan<int> perm)
    {
        long[] strides = new long[component.Rank];
        long stride = 1;
        for (int i = perm.Length - 1; i >= 0; i--)
        {
            strides[perm[i]] = stride;
            stride *= component[perm[i]];
        }

        var dims = new List<long>();
        var kept = new List<long>();
        for (int axis = 0; axis < component.Rank; axis++)
        {
            if (component[axis] == 1)
            {
                continue;
            }

            // The axis before lies right around this one in both orders: one axis.
            if (dims.Count > 0 && kept[^1] == strides[axis] * component[axis])
            {
                dims[^1] *= component[axis];
                kept[^1] = strides[axis];
            }
            else
            {
                dims.Add(component[axis]);
                kept.Add(strides[axis]);
            }
        }

        return dims.Count == 0 ? new([1], [1]) : new([.. dims], [.. kept]);
    }

    /// <summary>Where row <paramref name="row"/> (all axes but the innermost) starts in the composed tensor, in elements.</summary>
    public long RowStart(long row)
    {
        long start = 0;
        for (int axis = Dims.Length - 2; axis >= 0; axis--)
        {
            start += row % Dims[axis] * Strides[axis];
            row /= Dims[axis];
        }

        return start;
    }
}
