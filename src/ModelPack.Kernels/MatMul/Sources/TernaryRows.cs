using ModelPack.Numbers;

namespace ModelPack.Kernels.MatMul;

/// <summary>ternary, see formats/numbers/Ternary/SPEC.md: codes 0, 1, 2 with zero point 1, which is also the code of what fills up.</summary>
internal sealed unsafe class TernaryRows : CodeRows
{
    private const int Group = 16;

    private readonly int _columns;
    private readonly bool _base3;

    private TernaryRows(int columns, bool base3)
    {
        _columns = columns;
        _base3 = base3;
    }

    public override IReadOnlyList<string> Roles => Scale == TileScale.None ? ["codes"] : ["codes", "scales"];

    /// <summary>Where the magnitude of the tensor is not known yet, with 0 in its place.</summary>
    public static CodeRows TryCreate(UnitSpec spec, int columns)
    {
        bool perRow = spec.Text("scope", "tensor") == "row";
        float? gamma = SpecNumbers.Read(spec, "gamma");
        return new TernaryRows(columns, spec.Text("packing", "2bit") == "base3")
        {
            Bits = 2,
            Block = 0,
            Zero = 1,
            Scale = perRow ? TileScale.F32 : TileScale.None,
            Multiplier = perRow ? 1 : gamma is float g ? TernaryScale.Of(spec.Text("rule", "absmean") == "absmean", g).Value : 0,
        };
    }

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        if (_base3)
        {
            int width = (_columns + 4) / 5;
            byte* bytes = (byte*)streams[0] + (row * width);
            for (int group = 0; group < width; group += Group)
            {
                int count = Math.Min(Group, width - group);
                for (int m = 0; m < count; m++)
                {
                    int value = bytes[group + m];
                    for (int k = 0; k < 5; k++)
                    {
                        int at = (5 * group) + (count * k) + m;
                        if (at < _columns)
                        {
                            codes[at] = (byte)((value * 3) >> 8);
                        }

                        value = (value * 3) & 0xFF;
                    }
                }
            }
        }
        else
        {
            PackedBits.Unpack((byte*)streams[0] + (row * (((long)_columns + 3) / 4)), 2, codes);
        }

        if (Scale != TileScale.None)
        {
            FloatScales.Read(streams[1], DType.F32, row * scales.Length, scales);
        }
    }
}
