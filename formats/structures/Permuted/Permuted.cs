using System.Globalization;

namespace ModelPack.Structures;

/// <summary>Makes <c>permuted</c> encodings and reads their argument.</summary>
public static class Permuted
{
    /// <summary>The registered name of the structure.</summary>
    public const string Id = "permuted";

    private const int MaxRank = 64;

    /// <summary>
    /// <paramref name="component"/> with its axes permuted like ONNX Transpose: axis i of the result is axis <paramref name="perm"/>[i] of the component.
    /// Nested permutations are merged, and one that changes nothing gives its component back.
    /// </summary>
    /// <exception cref="ArgumentException"><paramref name="perm"/> is not a permutation of the component's axes.</exception>
    public static WeightEncoding Of(WeightEncoding component, params ReadOnlySpan<int> perm)
    {
        if (!IsPermutation(perm) || perm.Length != component.Shape.Rank)
        {
            throw new ArgumentException($"[{string.Join(',', perm.ToArray())}] is not a permutation of the axes of {component.Shape}", nameof(perm));
        }

        if (component is StructuredEncoding { Structure.Id: Id } inner)
        {
            int[] first = ParsePerm(inner.Structure);
            int[] merged = new int[perm.Length];
            for (int i = 0; i < merged.Length; i++)
            {
                merged[i] = first[perm[i]];
            }

            return Of(inner.Components[0], merged);
        }

        return IsIdentity(perm) ? component : new StructuredEncoding(Spec(perm), Apply(component.Shape, perm), [component]);
    }

    /// <summary>The transposed matrix: <c>Of(component, 1, 0)</c>.</summary>
    /// <exception cref="ArgumentException">The component is not of rank 2.</exception>
    public static WeightEncoding Transpose(WeightEncoding component) => Of(component, 1, 0);

    /// <summary>The shape after the permutation.</summary>
    public static Shape Apply(Shape component, ReadOnlySpan<int> perm)
    {
        long[] dims = new long[perm.Length];
        for (int i = 0; i < dims.Length; i++)
        {
            dims[i] = component[perm[i]];
        }

        return new Shape(dims);
    }

    /// <summary>The spec of a permutation: <c>permuted(perm=1x0)</c>; without an argument for rank 0.</summary>
    public static UnitSpec Spec(ReadOnlySpan<int> perm) => perm.IsEmpty
        ? new UnitSpec(Id)
        : new UnitSpec(Id, ("perm", string.Join('x', perm.ToArray().Select(axis => axis.ToString(CultureInfo.InvariantCulture)))));

    /// <summary>The permutation a spec names.</summary>
    /// <exception cref="ModelPackException">MP1022: not of the form 1x0, or not a permutation.</exception>
    public static int[] ParsePerm(UnitSpec spec)
    {
        spec.AllowOnly("perm");
        string text = spec.Text("perm", "");
        string[] parts = text.Length == 0 ? [] : text.Split('x');
        int[] perm = new int[parts.Length];
        bool valid = parts.Length <= MaxRank;
        for (int i = 0; i < parts.Length && valid; i++)
        {
            valid = int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out perm[i]);
        }

        return valid && IsPermutation(perm)
            ? perm
            : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': perm={text} is not a permutation such as 1x0 or 0x2x1");
    }

    private static bool IsPermutation(ReadOnlySpan<int> perm)
    {
        ulong seen = 0;
        foreach (int axis in perm)
        {
            if (axis < 0 || axis >= perm.Length || axis >= MaxRank || (seen >> axis & 1) != 0)
            {
                return false;
            }

            seen |= 1ul << axis;
        }

        return true;
    }

    private static bool IsIdentity(ReadOnlySpan<int> perm)
    {
        for (int i = 0; i < perm.Length; i++)
        {
            if (perm[i] != i)
            {
                return false;
            }
        }

        return true;
    }
}
