using System.Numerics;

namespace ModelPack.Structures;

/// <summary>
/// A bit per element. Balanced (<c>nm</c>, <c>bankbalanced</c>): every group of so many neighbours in a row has the same number of bits set, values [rows, groups · kept]. Unstructured
/// (<c>bitmap</c>): any bits, values in rows of <see cref="RowValues"/>, the last one filled up with zeros.
/// </summary>
internal sealed class ElementLayout : SparseLayout
{
    /// <summary>Values per row of the values component of <c>bitmap</c>: a multiple of all usual block lengths of number formats.</summary>
    public const int RowValues = 256;

    private readonly int _group;
    private readonly int _kept;

    private ElementLayout(UnitSpec unit, Shape shape, int group, int kept)
        : base(unit, shape, 1, group == 0 || shape.Rank != 2 ? (shape.Rank == 2 ? shape[1] : 1) : (shape[1] + group - 1) / group * group, 1)
    {
        (_group, _kept) = (group, kept);
    }

    public override long BitsPerRow => _group == 0 ? 0 : MaskBits / _group * _kept;

    /// <summary>A layout with groups.</summary>
    /// <param name="unit">The structure.</param>
    /// <param name="shape">Shape of the matrix.</param>
    /// <param name="groupArgument">Name of the argument that says how long groups are: a power of two.</param>
    /// <param name="least">Shortest group.</param>
    /// <param name="most">Longest group.</param>
    /// <param name="keptArgument">Name of the argument that says how many of a group are stored.</param>
    public static ElementLayout Balanced(UnitSpec unit, Shape shape, string groupArgument, int least, int most, string keptArgument)
    {
        unit.AllowOnly(groupArgument, keptArgument);
        int group = unit.Int(groupArgument, 0, least, most);
        int kept = unit.Int(keptArgument, 0, 1, most - 1);
        return BitOperations.IsPow2(group) && group > 0 && kept > 0 && kept < group
            ? new ElementLayout(unit, shape, group, kept)
            : throw new ModelPackException(
                ErrorCodes.BadUnitArgument, $"'{unit}' must have {groupArgument}, a power of two from {least} to {most}, and {keptArgument}, from 1 to {groupArgument} - 1");
    }

    public static ElementLayout Unstructured(UnitSpec unit, Shape shape)
    {
        unit.AllowOnly();
        return new ElementLayout(unit, shape, 0, 0);
    }

    public override Shape ValuesShape(long bitsSet) => _group > 0 ? new Shape(Rows, BitsPerRow) : new Shape((bitsSet + RowValues - 1) / RowValues, RowValues);

    public override bool CanHave(Shape values) => _group > 0
        ? values == ValuesShape(0)
        : values.Rank == 2 && values[1] == RowValues && values[0] <= ((Shape.ElementCount - 1) / RowValues) + 1;

    public override void Check(ReadOnlySpan<byte> mask, long firstRow)
    {
        if (_group > 0 && FirstUnbalanced(mask) is int at and >= 0)
        {
            int rowBytes = (int)MaskShape[1];
            throw new ModelPackException(
                ErrorCodes.BadSparseIndex, $"the mask of row {firstRow + (at / rowBytes)} does not name {_kept} of every {_group} places (near column {at % rowBytes * 8})");
        }
    }

    public override void Expand<T>(ReadOnlySpan<byte> mask, ReadOnlySpan<T> values, Span<T> band) => MaskKernel.Expand(mask, values, band);

    public override void Gather<T>(ReadOnlySpan<byte> mask, ReadOnlySpan<T> band, Span<T> values) => MaskKernel.Gather(mask, band, values);

    /// <summary>
    /// Makes a mask of elements that are not zero a mask of this layout: groups that have fewer bits than they must get their lowest free places.
    /// </summary>
    /// <param name="mask">One mask row, padding zero.</param>
    /// <exception cref="ModelPackException">MP1024: a group has more.</exception>
    public void Complete(Span<byte> mask)
    {
        for (int bit = 0; bit < MaskBits && _group > 0; bit += _group)
        {
            int at = bit / 8;
            int shift = bit % 8;
            ulong field = _group == 64 ? ulong.MaxValue : (1UL << _group) - 1;
            ulong bits = (RowMask.Word(mask, at) >> shift) & field;
            int missing = _kept - BitOperations.PopCount(bits);
            if (missing < 0)
            {
                throw new ModelPackException(ErrorCodes.BadSparseIndex, $"has more than {_kept} of {_group} elements near column {bit} that are not zero");
            }

            for (; missing > 0; missing--)
            {
                ulong lowest = ~bits & (bits + 1);
                bits |= lowest;
                int place = shift + BitOperations.TrailingZeroCount(lowest);
                mask[at + (place / 8)] |= (byte)(1 << (place % 8));
            }
        }
    }

    /// <summary>Byte of the first group that has another number of bits than it must; -1 when all are right. Rows end at byte ends, and so do groups of 8 or more.</summary>
    private int FirstUnbalanced(ReadOnlySpan<byte> mask)
    {
        int bytes = Math.Max(1, _group / 8);
        int rowBytes = (int)MaskShape[1];
        bool half = _group == 4 && MaskBits % 8 == 4;
        for (int at = 0; at < mask.Length; at += bytes)
        {
            bool right;
            if (_group == 4)
            {
                bool last = half && at % rowBytes == rowBytes - 1;
                right = BitOperations.PopCount((uint)mask[at] & 15) == _kept && (last ? mask[at] < 16 : BitOperations.PopCount((uint)mask[at] >> 4) == _kept);
            }
            else
            {
                right = RowMask.PopCount(mask.Slice(at, bytes)) == _kept;
            }

            if (!right)
            {
                return at;
            }
        }

        return -1;
    }
}
