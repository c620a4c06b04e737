using ModelPack.Numbers;

namespace ModelPack.Kernels.MatMul;

/// <summary>nf4, fp4 and dyn8, see formats/numbers/Codebook/SPEC.md.</summary>
internal sealed unsafe class CodebookRows : CodeRows
{
    private readonly int _columns;
    private readonly bool _nested;

    private CodebookRows(int columns, bool nested)
    {
        _columns = columns;
        _nested = nested;
    }

    public override IReadOnlyList<string> Roles => _nested ? ["codes", "scales", "nested-scales", "offsets"] : ["codes", "scales"];

    public static CodeRows TryCreate(UnitSpec spec, int columns)
    {
        Codebook codebook = spec.Id switch
        {
            "nf4" => Codebook.Nf4,
            "fp4" => Codebook.Fp4,
            _ => spec.Flag("signed", true) ? Codebook.Dynamic8 : Codebook.Dynamic8Unsigned,
        };
        return new CodebookRows(columns, spec.Flag("nested", false))
        {
            Bits = codebook.Bits,
            Block = spec.Int("block", 64, 64, 4096),
            Table = codebook.Values,
            Scale = TileScale.F32,
        };
    }

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        byte* stored = (byte*)streams[0] + (row * ((((long)_columns * Bits) + 7) / 8));
        if (Bits == 8)
        {
            new ReadOnlySpan<byte>(stored, _columns).CopyTo(codes);
        }
        else
        {
            // The high nibble comes first.
            for (int i = 0; i < _columns; i++)
            {
                codes[i] = (byte)((i & 1) == 0 ? stored[i >> 1] >> 4 : stored[i >> 1] & 15);
            }
        }

        if (_nested)
        {
            int seconds = (scales.Length + NestedScales.Block - 1) / NestedScales.Block;
            NestedScales.Decode(
                new ReadOnlySpan<byte>((byte*)streams[1] + (row * scales.Length), scales.Length),
                new ReadOnlySpan<float>((float*)streams[2] + (row * seconds), seconds),
                ((float*)streams[3])[row],
                scales,
                SimdTiers.Current);
        }
        else
        {
            FloatScales.Read(streams[1], DType.F32, row * scales.Length, scales);
        }
    }
}
