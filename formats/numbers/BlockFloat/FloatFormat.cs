using System.Globalization;

namespace ModelPack.Numbers;

/// <summary>Small floats of any split into sign, exponent and significand, packed densely, with any of several scales per block or one for the tensor. See SPEC.md.</summary>
internal sealed class FloatFormat : ITieredFormat, ITensorwideFormat
{
    private const int MinBias = -100;
    private const int MaxBias = 120;

    private const string OfTensor = "tensor";

    public string Id => "float";

    public string Summary =>
        "floats of 1 to 8 bits: exponent=N, mantissa=N, sign, bias=N, specials=none|fn|ieee|fnuz, block=N|row|tensor, scale=none|e8m0|e4m3|f16|bf16|f32, mode as mxfp8";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        Arguments given = Read(spec, RowLimits.Columns(Id, shape));
        return given.Tensorwide ? new TensorFloatFormat(given.Full, shape, given.Layout, given.Global, tier) : new BoundBlockFloatFormat(given.Full, shape, given.Layout, tier);
    }

    public UnitSpec Complete(UnitSpec spec, IValueReader values)
    {
        Arguments given = Read(spec, RowLimits.Columns(Id, values.Shape));
        if (!given.Tensorwide || given.Global is not null)
        {
            return spec;
        }

        int amax = 0;
        RowScan.Run(values, Id, (tile, _) =>
        {
            amax = Math.Max(amax, BitConverter.SingleToInt32Bits(Fp8Reference.Largest(tile, 1, tile.Length, tile.Length)));
            return true;
        });
        Span<byte> scale = stackalloc byte[sizeof(float)];
        _ = BlockMap.Choose(amax, given.Layout, scale, 0, out _);
        return spec.With("global", SpecNumbers.Text(BlockMap.Read(scale, 0, given.Layout.Scale)));
    }

    private Arguments Read(UnitSpec spec, int columns)
    {
        spec.AllowOnly("exponent", "mantissa", "sign", "bias", "specials", "block", "scale", "mode", "global");
        ElementFormat element = Element(spec);
        BlockScaleType scale = BlockFloatArguments.Scale(spec);
        var full = new UnitSpec(
            Id,
            ("bias", Text(element.Bias)),
            ("exponent", Text(element.ExponentBits)),
            ("mantissa", Text(element.MantissaBits)),
            ("scale", BlockFloatArguments.Name(scale)),
            ("sign", element.Signed ? "true" : "false"),
            ("specials", BlockFloatArguments.Name(element.Specials)));
        int block = Math.Max(columns, 1);
        string blocks = spec.Text("block", "32");
        if (scale == BlockScaleType.None)
        {
            Refuse(spec, "block", "scale=none");
            blocks = "row";
        }
        else
        {
            full = full.With("block", blocks);
            block = blocks is "row" or OfTensor ? block : spec.Int("block", 32, 16, 65536);
            if (blocks is not ("row" or OfTensor) && block % 16 != 0)
            {
                throw Bad($"block={block} is not a multiple of 16");
            }
        }

        ScaleMode mode = BlockFloatArguments.Mode(spec);
        if (scale == BlockScaleType.E8M0)
        {
            full = full.With("mode", BlockFloatArguments.Name(mode));
        }
        else
        {
            Refuse(spec, "mode", $"scale={BlockFloatArguments.Name(scale)}");
        }

        if (blocks != OfTensor)
        {
            Refuse(spec, "global", "scales of blocks: it is for block=tensor");
        }

        float? global = SpecNumbers.Read(spec, "global");
        if (global is float one)
        {
            full = full.With("global", IsScale(one, scale) ? SpecNumbers.Text(one) : throw Bad($"global={SpecNumbers.Text(one)} is not a positive number of type {BlockFloatArguments.Name(scale)}"));
        }

        return new Arguments(full, new BlockFloatLayout(element, columns, block, scale, mode), blocks == OfTensor, global);
    }

    /// <summary>True for positive values of a scale type.</summary>
    private static bool IsScale(float value, BlockScaleType type) => value > 0 && type switch
    {
        BlockScaleType.E8M0 => E8M0.Decode(E8M0.Encode(value, E8M0.Rounding.Up)) == value,
        BlockScaleType.E4M3 => ElementFormat.E4M3.Values.Contains(value),
        BlockScaleType.F16 => ScaleType.Round(value, DType.F16) == value,
        BlockScaleType.BF16 => ScaleType.Round(value, DType.BF16) == value,
        _ => true,
    };

    private static ElementFormat Element(UnitSpec spec)
    {
        int exponent = spec.Int("exponent", 4, 0, 7);
        int mantissa = spec.Int("mantissa", 3, 0, 7);
        bool sign = spec.Flag("sign", true);
        if (exponent + mantissa == 0 || exponent + mantissa + (sign ? 1 : 0) > 8)
        {
            throw Bad($"exponent={exponent} and mantissa={mantissa} make {exponent + mantissa} bits beside the sign; there must be 1 to {(sign ? 7 : 8)}");
        }

        // The two 8-bit formats of OCP have codes that are no numbers.
        FloatSpecials usual = (sign, exponent, mantissa) switch
        {
            (true, 4, 3) => FloatSpecials.Fn,
            (true, 5, 2) => FloatSpecials.Ieee,
            _ => FloatSpecials.None,
        };
        FloatSpecials specials = BlockFloatArguments.Specials(spec, usual);
        bool possible = specials switch
        {
            FloatSpecials.Fn => exponent > 0 && exponent + mantissa > 1,
            FloatSpecials.Ieee => exponent > 0 && mantissa > 0,
            FloatSpecials.Fnuz => sign,
            _ => true,
        };
        if (!possible)
        {
            throw Bad($"specials={BlockFloatArguments.Name(specials)} does not go with sign={(sign ? "true" : "false")}, exponent={exponent}, mantissa={mantissa}");
        }

        int bias = spec.Int("bias", exponent == 0 ? 1 : (1 << (exponent - 1)) - 1, MinBias, MaxBias);
        ElementFormat named = (sign, exponent, mantissa, bias, specials) switch
        {
            (true, 4, 3, 7, FloatSpecials.Fn) => ElementFormat.E4M3,
            (true, 5, 2, 15, FloatSpecials.Ieee) => ElementFormat.E5M2,
            _ => ElementFormat.Float(exponent, mantissa, sign, bias, specials),
        };

        // Values scaled into the range of elements must be f32 numbers, and what is lost below 2^-126 must round to zero anyway.
        return named.Emax <= 126 ? named : throw Bad($"bias={bias} makes the largest value 2^{named.Emax} or more; it must stay below 2^127");
    }

    private static void Refuse(UnitSpec spec, string key, string because)
    {
        if (spec.Arguments.ContainsKey(key))
        {
            throw Bad($"{key} does not go with {because}");
        }
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static ModelPackException Bad(string what) => new(ErrorCodes.BadUnitArgument, $"'float': {what}");

    private readonly record struct Arguments(UnitSpec Full, BlockFloatLayout Layout, bool Tensorwide, float? Global);
}
