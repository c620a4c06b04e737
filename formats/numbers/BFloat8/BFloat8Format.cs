using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>bfloat8: 1-5-2 bits reached by truncation. See SPEC.md.</summary>
internal sealed class BFloat8Format : ITieredFormat
{
    public string Id => "bfloat8";

    public string Summary => "8-bit float 1-5-2 reached by truncation: the upper byte of an f16, without rounding";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly();
        return new Bound(new UnitSpec(Id), shape, tier);
    }

    private sealed class Bound(UnitSpec spec, Shape shape, SimdTier tier) : BoundRowFormat(spec, shape, new StreamLayout("codes", shape.Columns, DType.F8E5M2))
    {
        private static readonly ByteTable Table = new([.. Enumerable.Range(0, 256).Select(code => BFloat8Reference.Decode((byte)code))]);

        protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
        {
            Span<byte> codes = streams[0].Span;
            switch (tier)
            {
                case SimdTier.Vector512:
                    BFloat8Kernel<Lanes512>.Encode(values, codes);
                    break;
                case SimdTier.Vector256:
                    BFloat8Kernel<Lanes256>.Encode(values, codes);
                    break;
                case SimdTier.Vector128:
                    BFloat8Kernel<Lanes128>.Encode(values, codes);
                    break;
                default:
                    for (int i = 0; i < values.Length; i++)
                    {
                        codes[i] = BFloat8Reference.Encode(values[i]);
                    }

                    break;
            }
        }

        protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values) =>
            Table.Decode(streams[0].Span, values, tier);

        protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, DType dtype, Span<byte> values) =>
            Table.DecodeNarrow(streams[0].Span, dtype, MemoryMarshal.Cast<byte, ushort>(values), tier);
    }
}
