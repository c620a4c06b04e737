using ModelPack.Numbers;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of rows without gaps and scales of any type per block: MX formats, <c>float</c>, <c>nvfp4</c>, see formats/numbers/BlockFloat/SPEC.md and Nvfp4/SPEC.md.</summary>
internal sealed unsafe class FloatRows : CodeRows
{
    private readonly int _columns;
    private readonly BlockScaleType _stored;
    private readonly byte _flip;

    private FloatRows(int columns, BlockScaleType stored, byte flip)
    {
        _columns = columns;
        _stored = stored;
        _flip = flip;
    }

    public override IReadOnlyList<string> Roles => _stored == BlockScaleType.None ? ["codes"] : ["codes", "scales"];

    /// <summary>nvfp4; where its global scale is not known yet, with 0 in its place.</summary>
    public static CodeRows TryCreateNvfp4(UnitSpec spec, int columns) =>
        new FloatRows(columns, BlockScaleType.E4M3, 0) { Bits = 4, Block = 16, Table = ElementFormat.E2M1.Values, Scale = TileScale.BF16, Multiplier = SpecNumbers.Read(spec, "global") ?? 0 };

    /// <summary>An MX format or <c>float</c>.</summary>
    public static CodeRows? TryCreate(UnitSpec spec, int columns)
    {
        if (spec.Text("block", "32") == "tensor")
        {
            return UnscaledRows.TryCreateTensorwide(spec, columns);
        }

        if (NumberFormats.Bind(spec, new Shape(1, columns)) is not BoundBlockFloatFormat bound || bound.Layout.Given is not null)
        {
            return null;
        }

        BlockFloatLayout layout = bound.Layout;
        bool integers = layout.Element.IsInteger;
        return new FloatRows(columns, layout.Scale, integers ? (byte)0x80 : (byte)0)
        {
            Bits = layout.Element.Bits,
            Block = layout.Scale == BlockScaleType.None || layout.Block >= columns ? 0 : layout.Block,
            Table = integers ? null : layout.Element.Values,
            Zero = integers ? 128 : 0,
            Scale = layout.Scale switch
            {
                BlockScaleType.None => TileScale.None,
                BlockScaleType.E8M0 => TileScale.E8M0,
                BlockScaleType.E4M3 or BlockScaleType.BF16 => TileScale.BF16,
                BlockScaleType.F16 => TileScale.F16,
                _ => TileScale.F32,
            },
            Multiplier = integers ? 1f / 64 : 1,
        };
    }

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        PackedBits.Unpack((byte*)streams[0] + (row * ((((long)_columns * Bits) + 7) / 8)), Bits, codes[.._columns]);
        if (_flip != 0)
        {
            // Two's complement to codes from 0 with zero at 128; -128 is not written by encoders and means the same here.
            foreach (ref byte code in codes[.._columns])
            {
                code ^= _flip;
            }
        }

        switch (_stored)
        {
            case BlockScaleType.None:
                break;
            case BlockScaleType.E8M0:
                byte* exponents = (byte*)streams[1] + (row * scales.Length);
                for (int i = 0; i < scales.Length; i++)
                {
                    scales[i] = E8M0.Decode(exponents[i]);
                }

                break;
            case BlockScaleType.E4M3:
                byte* bytes = (byte*)streams[1] + (row * scales.Length);
                for (int i = 0; i < scales.Length; i++)
                {
                    scales[i] = ElementFormat.E4M3.Values[bytes[i]];
                }

                break;
            default:
                FloatScales.Read(streams[1], _stored == BlockScaleType.F16 ? DType.F16 : _stored == BlockScaleType.BF16 ? DType.BF16 : DType.F32, row * scales.Length, scales);
                break;
        }
    }
}
