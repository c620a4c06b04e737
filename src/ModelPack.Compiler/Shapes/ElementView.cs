using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>Elements of a small tensor seen with other strides: repeated, turned, cut.</summary>
/// <param name="Elements">The elements, row-major.</param>
/// <param name="Offset">Position of the first.</param>
/// <param name="Strides">Distance in elements from one place of an axis to the next.</param>
internal readonly record struct ElementView(ImmutableArray<double> Elements, long Offset, ImmutableArray<long> Strides)
{
    /// <summary>All of a value, in order.</summary>
    public static ElementView Of(ValueShape value)
    {
        Shape shape = value.Shape!.Value;
        long[] strides = new long[shape.Rank];
        long stride = 1;
        for (int axis = shape.Rank - 1; axis >= 0; axis--)
        {
            strides[axis] = stride;
            stride *= shape[axis];
        }

        return new ElementView(value.Elements, 0, [.. strides]);
    }

    /// <summary>Copies the elements out; default when there are none to copy or too many.</summary>
    /// <param name="shape">Places along the axes.</param>
    public ImmutableArray<double> Read(Shape shape)
    {
        if (Elements.IsDefault || shape.ElementCount > ShapeInference.MostElements)
        {
            return default;
        }

        double[] result = new double[shape.ElementCount];
        for (long i = 0; i < result.Length; i++)
        {
            long rest = i;
            long at = Offset;
            for (int axis = shape.Rank - 1; axis >= 0; axis--)
            {
                at += rest % shape[axis] * Strides[axis];
                rest /= shape[axis];
            }

            result[i] = Elements[(int)at];
        }

        return [.. result];
    }
}
