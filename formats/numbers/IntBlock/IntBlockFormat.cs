using System.Globalization;

namespace ModelPack.Numbers;

/// <summary>
/// Integers of 2 to 8 bits with a scale (and, if asymmetric, a zero point) per block along the last axis; streams are laid out as ONNX Runtime's
/// MatMulNBits wants them. See SPEC.md.
/// </summary>
internal sealed class IntBlockFormat(int bits) : ITieredFormat
{
    /// <summary>Longest row in values: a row is coded in memory.</summary>
    public const int MaxColumns = 1 << 28;

    public int Bits { get; } = bits;

    public string Id => FormattableString.Invariant($"int{Bits}");

    public string Summary => $"{Bits}-bit integers with a scale per block: block=16..65536|row, scale=f32|f16|bf16, symmetric=true|false, zeros=int|float, search=none|mse, layout=packed|planes";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        IntBlockLayout layout = Layout(spec, Bits, shape.Columns);
        if (!shape.TryElementCount(out long count) || (count > 0 && (Int128)shape.Rows * Math.Max(layout.CodeBytesPerRow, layout.ScaleBytesPerRow) > long.MaxValue))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Id}': shape {shape} is too large");
        }

        var full = new UnitSpec(
            Id,
            ("block", spec.Text("block", "32") is "row" or "0" ? "row" : layout.Block.ToString(CultureInfo.InvariantCulture)),
            ("scale", layout.Scale.Name()),
            ("search", layout.Search ? "mse" : "none"),
            ("symmetric", layout.Symmetric ? "true" : "false"));

        // Arguments of later versions are recorded only where they differ from the first version's behaviour.
        full = layout.FloatZero ? full.With("zeros", "float") : full;
        bool planes = Planes(spec);
        return new BoundIntBlockFormat(shape, layout, planes ? full.With("layout", "planes") : full, planes, tier);
    }

    /// <summary>Resolves the arguments of a spec for rows of <paramref name="columns"/> values.</summary>
    /// <exception cref="ModelPackException">MP1022: a wrong argument. MP1020: rows too long.</exception>
    internal static IntBlockLayout Layout(UnitSpec spec, int bits, long columns)
    {
        spec.AllowOnly("block", "scale", "symmetric", "search", "zeros", "layout");
        if (columns > MaxColumns)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{spec.Id}': rows of {columns} values are longer than {MaxColumns}");
        }

        DType scale = spec.Text("scale", "f32") switch
        {
            "f32" => DType.F32,
            "f16" => DType.F16,
            "bf16" => DType.BF16,
            string other => throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': scale={other} is not one of f32, f16, bf16"),
        };
        bool search = spec.Text("search", "none") switch
        {
            "none" => false,
            "mse" => true,
            string other => throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': search={other} is not one of none, mse"),
        };
        bool wholeRow = spec.Text("block", "32") is "row" or "0";
        int block = wholeRow ? 0 : spec.Int("block", 32, 16, 65536);
        if (block % 16 != 0)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': block={block} is not a multiple of 16");
        }

        bool symmetric = spec.Flag("symmetric", true);
        bool floatZero = spec.Text("zeros", "int") switch
        {
            "int" => false,
            "float" when !symmetric && !search => true,
            "float" => throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': zeros=float needs symmetric=false and search=none"),
            string other => throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': zeros={other} is not one of int, float"),
        };

        int blockValues = wholeRow ? Math.Max((int)columns, 1) : block;
        int blockCount = (int)((columns + blockValues - 1) / blockValues);
        int blobBytes = (int)((((long)blockValues * bits) + 7) / 8);
        return new IntBlockLayout(bits, (int)columns, blockValues, blockCount, blobBytes, scale, symmetric, search, floatZero);
    }

    private static bool Planes(UnitSpec spec) => spec.Text("layout", "packed") switch
    {
        "packed" => false,
        "planes" => true,
        string other => throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': layout={other} is not one of packed, planes"),
    };
}
