using ModelPack.Numbers;

namespace ModelPack.Kernels.MatMul;

/// <summary>Formats whose only stream is codes side by side, each with one value: <c>posit8</c>, <c>bfloat8</c>, <c>scalar</c>, FP8 tensors as they are, and those with one table or scale for the whole tensor.</summary>
internal sealed unsafe class UnscaledRows : CodeRows
{
    private const int AllCodes = 256;

    private readonly long _rowBytes;
    private readonly string _role;

    private UnscaledRows(long rowBytes, string role)
    {
        _rowBytes = rowBytes;
        _role = role;
    }

    public override IReadOnlyList<string> Roles => [_role];

    /// <summary>Null when codes have more than 8 bits, or there are other streams.</summary>
    public static CodeRows? TryCreate(UnitSpec spec, int columns)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(spec, new Shape(1, AllCodes));
        if (bound.Streams is not [{ Role: "codes" or "values" } codes] || codes.BytesPerRow > AllCodes || ValuesByCode(bound, (int)(codes.BytesPerRow * 8 / AllCodes)) is not float[] table)
        {
            return null;
        }

        int bits = (int)(codes.BytesPerRow * 8 / AllCodes);
        return Of(columns, bits, table, isFixed: true, codes.Role);
    }

    /// <summary>A palette for the whole tensor, or a float with one scale for it; where that is not known yet, with values of zero.</summary>
    public static CodeRows? TryCreateTensorwide(UnitSpec spec, int columns)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(spec, new Shape(1, AllCodes));
        if (bound.Streams is not [{ Role: "codes" } codes] || codes.BytesPerRow > AllCodes)
        {
            return null;
        }

        int bits = (int)(codes.BytesPerRow * 8 / AllCodes);
        return Of(columns, bits, ValuesByCode(bound, bits) ?? new float[1 << bits], isFixed: false, codes.Role);
    }

    private static UnscaledRows Of(int columns, int bits, float[] table, bool isFixed, string role) =>
        new((((long)columns * bits) + 7) / 8, role) { Bits = bits, Block = 0, Table = table, HasFixedTable = isFixed, Scale = TileScale.None };

    /// <summary>What a format decodes all its codes to; null when it does not know.</summary>
    /// <param name="bound">The format on a row of 256 values.</param>
    /// <param name="bits">Width of its codes.</param>
    public static float[]? ValuesByCode(IBoundNumberFormat bound, int bits)
    {
        byte[] codes = new byte[bound.Streams[0].BytesPerRow];
        for (int i = 0; i < AllCodes; i++)
        {
            CodePacking.Set(codes, i, bits, i & ((1 << bits) - 1));
        }

        float[] values = new float[AllCodes];
        try
        {
            bound.DecodeRows([codes], 1, values);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.BadStream || e.Code == ErrorCodes.BadEncoding)
        {
            return null;
        }

        return values[..(1 << bits)];
    }

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros) =>
        PackedBits.Unpack((byte*)streams[0] + (row * _rowBytes), Bits, codes);
}
