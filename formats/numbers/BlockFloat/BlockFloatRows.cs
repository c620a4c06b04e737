using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>Encoder and decoder of single rows: one implementation per tier and kind of element, a virtual call per row.</summary>
internal abstract class BlockFloatRows
{
    /// <summary>Encodes a row; returns -1, or a position in the first block whose NaN or infinity cannot be stored.</summary>
    public abstract int EncodeRow(ReadOnlySpan<float> row, in BlockFloatLayout layout, Span<byte> codes, Span<byte> scales);

    public abstract void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, in BlockFloatLayout layout, Span<float> row);

    public static BlockFloatRows For(ElementFormat element, SimdTier tier) => tier switch
    {
        SimdTier.Vector512 when element is { IsInteger: false, Bits: 5 or 6 } && Avx512F.IsSupported => new BlockFloatKernel<Lanes512, PermuteElement>(new PermuteElement(element)),
        SimdTier.Vector512 => For<Lanes512>(element),
        SimdTier.Vector256 => For<Lanes256>(element),
        SimdTier.Vector128 => For<Lanes128>(element),
        _ => new BlockFloatReference(),
    };

    private static BlockFloatRows For<TLanes>(ElementFormat element)
        where TLanes : struct, ILanes16<TLanes> =>
        element.IsInteger ? new BlockFloatKernel<TLanes, IntegerElement<TLanes>>(new IntegerElement<TLanes>())
        : element.Bits <= 4 ? new BlockFloatKernel<TLanes, TableElement<TLanes>>(new TableElement<TLanes>(element))
        : new BlockFloatKernel<TLanes, FloatElement<TLanes>>(new FloatElement<TLanes>(element));
}
