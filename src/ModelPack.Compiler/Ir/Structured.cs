using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Compiler;

/// <summary>Builds structured encodings without ever nesting what cancels out.</summary>
public static class Structured
{
    /// <summary>
    /// The values with axes permuted as by ONNX Transpose: axis i of the result is axis perm[i] of <paramref name="encoding"/>. A permutation of
    /// a permutation becomes one, the identity none.
    /// </summary>
    public static WeightEncoding Permute(WeightEncoding encoding, ImmutableArray<int> perm)
    {
        if (encoding is StructuredEncoding { Structure.Id: "permuted", Components: [WeightEncoding inner] } outer)
        {
            ImmutableArray<int> first = ParsePermutation(outer.Structure.Text("perm", ""));
            return Permute(inner, [.. perm.Select(axis => first[axis])]);
        }

        if (perm.Select((axis, i) => axis == i).All(same => same))
        {
            return encoding;
        }

        var shape = new Shape([.. perm.Select(axis => encoding.Shape[axis])]);
        string text = string.Join('x', perm.Select(axis => axis.ToString(CultureInfo.InvariantCulture)));
        return new StructuredEncoding(new UnitSpec("permuted", ("perm", text)), shape, [encoding]);
    }

    /// <summary>Swaps the axes of a matrix.</summary>
    public static WeightEncoding Transpose(WeightEncoding matrix) => Permute(matrix, [1, 0]);

    /// <summary>The same elements in row-major order under another shape. Plain bytes need no structure for that.</summary>
    public static WeightEncoding Reshape(WeightEncoding encoding, Shape shape) => encoding switch
    {
        _ when encoding.Shape == shape => encoding,
        DenseEncoding { IsPending: false } dense when IsRaw(dense, out _) => dense with { Shape = shape },
        StructuredEncoding { Structure.Id: "reshaped", Components: [WeightEncoding inner] } => Reshape(inner, shape),
        _ => new StructuredEncoding(new UnitSpec("reshaped"), shape, [encoding]),
    };

    /// <summary>The stored type when all values come, possibly rearranged, from one plainly stored tensor.</summary>
    public static bool IsRaw(WeightEncoding encoding, out DType stored)
    {
        switch (encoding)
        {
            case DenseEncoding { IsPending: false, Streams: [{ Role: "values" }] } dense when DTypes.TryParse(dense.Format.ToString(), out stored):
                return true;
            case StructuredEncoding { Structure.Id: "permuted" or "reshaped", Components: [WeightEncoding inner] }:
                return IsRaw(inner, out stored);
            default:
                stored = DType.Undefined;
                return false;
        }
    }

    private static ImmutableArray<int> ParsePermutation(string text) => [.. text.Split('x').Select(s => int.Parse(s, CultureInfo.InvariantCulture))];
}
