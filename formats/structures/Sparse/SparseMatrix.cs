using System.Globalization;

namespace ModelPack.Structures;

/// <summary>Makes sparse encodings of dense matrices, gives their bytes back, and says how much they hold.</summary>
public static class SparseMatrix
{
    /// <summary>The spec of blocks: <c>blocksparse(block=32x32)</c>.</summary>
    public static UnitSpec Blocks(int rows, int columns) =>
        new(BlockSparseStructure.Name, ("block", string.Create(CultureInfo.InvariantCulture, $"{rows}x{columns}")));

    /// <summary>The spec of N:M: <c>nm(m=4,n=2)</c>.</summary>
    public static UnitSpec NM(int n, int m) => new(NMStructure.Name, ("n", Text(n)), ("m", Text(m)));

    /// <summary>The spec of banks: <c>bankbalanced(bank=64,kept=8)</c>.</summary>
    public static UnitSpec BankBalanced(int bank, int kept) => new(BankBalancedStructure.Name, ("bank", Text(bank)), ("kept", Text(kept)));

    /// <summary>The spec of a mask of any elements.</summary>
    public static UnitSpec Bitmap { get; } = new(BitmapStructure.Name);

    /// <summary>True for encodings whose outermost node is one of the sparse structures.</summary>
    public static bool IsSparse(WeightEncoding encoding) => encoding is StructuredEncoding structured && SparseLayout.IsSparse(structured.Structure);

    /// <summary>
    /// A dense matrix as a sparse one: what is not stored is zero in every bit, so that the bytes come back as they were. Nothing but sums is held: mask and values are collected from
    /// the matrix when they are read.
    /// </summary>
    /// <param name="structure">The structure.</param>
    /// <param name="dtype">Element type, of 8, 16, 32 or 64 bits.</param>
    /// <param name="shape">A matrix with elements.</param>
    /// <param name="matrix">Its bytes.</param>
    /// <returns>A mask, and values stored plainly in <paramref name="dtype"/>.</returns>
    /// <exception cref="ModelPackException">MP1020, MP1022 wrong arguments; MP1024 the matrix does not have this structure.</exception>
    public static StructuredEncoding Of(UnitSpec structure, DType dtype, Shape shape, TensorData matrix)
    {
        SparseLayout layout = SparseLayout.Of(structure, shape);
        return dtype.BitsPerElement() switch
        {
            8 => Of<byte>(layout, dtype, matrix),
            16 => Of<ushort>(layout, dtype, matrix),
            32 => Of<uint>(layout, dtype, matrix),
            64 => Of<ulong>(layout, dtype, matrix),
            _ => throw new ArgumentException($"elements of {dtype.Name()} are not of a usual width", nameof(dtype)),
        };
    }

    /// <summary>The dense bytes, where the values component is stored plainly in <paramref name="dtype"/>; null where it is not.</summary>
    /// <exception cref="ModelPackException">MP1020, MP1022. Reading: MP1024 the mask is not what it must be.</exception>
    public static TensorData? TryDense(DType dtype, WeightEncoding encoding)
    {
        if (!IsSparse(encoding)
            || encoding is not StructuredEncoding { Components: [_, DenseEncoding { IsPending: false, Streams: [{ Role: "values" } stream] } values] } sparse
            || values.Format.ToString() != dtype.Name())
        {
            return null;
        }

        SparseLayout.Of(sparse.Structure, sparse.Shape).Validate(sparse);
        return dtype.BitsPerElement() switch
        {
            8 => new SparseTensorData<byte>(sparse.Shape, Expander(sparse, new PlainValues<byte>(stream.Data)), 1),
            16 => new SparseTensorData<ushort>(sparse.Shape, Expander(sparse, new PlainValues<ushort>(stream.Data)), 2),
            32 => new SparseTensorData<uint>(sparse.Shape, Expander(sparse, new PlainValues<uint>(stream.Data)), 4),
            64 => new SparseTensorData<ulong>(sparse.Shape, Expander(sparse, new PlainValues<ulong>(stream.Data)), 8),
            _ => null,
        };
    }

    /// <summary>How much of a tensor is stored, wherever in its tree the sparse structure is; null without one.</summary>
    public static SparsityFacts? Facts(WeightEncoding encoding)
    {
        while (encoding is StructuredEncoding { Components: [WeightEncoding only] })
        {
            encoding = only;
        }

        if (!IsSparse(encoding) || encoding is not StructuredEncoding { Components: [_, WeightEncoding values] } sparse)
        {
            return null;
        }

        var layout = SparseLayout.Of(sparse.Structure, sparse.Shape);
        var blocks = layout as BlockLayout;
        return new SparsityFacts(
            sparse.Structure.ToString(), values.Shape.ElementCount, (double)values.Shape.ElementCount / sparse.Shape.ElementCount, blocks is null ? null : values.Shape[0], blocks?.BlockCount);
    }

    /// <summary>A bit per element, lowest first: whether any bit of it is set. So -0 is not zero.</summary>
    /// <param name="elements">Elements as unsigned integers.</param>
    /// <param name="mask">Room for a bit per element, padded to bytes with zeros.</param>
    public static void NonZero<T>(ReadOnlySpan<T> elements, Span<byte> mask)
        where T : unmanaged, IEquatable<T> => MaskKernel.NonZero(elements, mask);

    /// <summary>Bits set in a mask.</summary>
    public static long PopCount(ReadOnlySpan<byte> mask) => RowMask.PopCount(mask);

    internal static SparseExpander<T> Expander<T>(StructuredEncoding sparse, IStoredValues<T> values)
        where T : unmanaged
    {
        var layout = SparseLayout.Of(sparse.Structure, sparse.Shape);
        Shape stored = sparse.Components[1].Shape;
        long to = stored.ElementCount / layout.ValuesPerBit;
        long from = layout is BlockLayout ? to : Math.Max(0, to - ElementLayout.RowValues + 1);
        return new SparseExpander<T>(layout, ((DenseEncoding)sparse.Components[0]).Streams[0].Data, (from, to), values);
    }

    private static StructuredEncoding Of<T>(SparseLayout layout, DType dtype, TensorData matrix)
        where T : unmanaged, IEquatable<T>
    {
        TensorData mask = layout is BlockLayout ? TensorData.FromBytes(BlockMask.Of<T>(layout, matrix)) : new ElementMaskData<T>((ElementLayout)layout, matrix);
        var rows = new RowMask(mask, layout.MaskRows, layout.MaskBits);
        Shape shape = layout.ValuesShape(layout.BitsPerRow > 0 ? 0 : rows.Total);
        var values = new GatheredValues<T>(layout, rows, matrix, shape.ElementCount);
        return new StructuredEncoding(layout.Unit, layout.Shape, [DenseEncoding.Raw(DType.U8, layout.MaskShape, mask), DenseEncoding.Raw(dtype, shape, values)]);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What a sparse tensor stores.</summary>
/// <param name="Structure">The structure with its arguments.</param>
/// <param name="StoredValues">Values that are stored, zeros among them included.</param>
/// <param name="Density">Their share of all elements.</param>
/// <param name="Blocks">Blocks stored; null for structures without.</param>
/// <param name="BlocksTotal">Blocks of the whole matrix; null for structures without.</param>
public sealed record SparsityFacts(string Structure, long StoredValues, double Density, long? Blocks, long? BlocksTotal);
