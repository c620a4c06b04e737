using System.Globalization;

namespace ModelPack.Toolchain;

/// <summary>What a search for encodings has to reach.</summary>
/// <param name="Kind">Which limit.</param>
/// <param name="Value">Bits per weight, bytes of the model, part of the input's bytes, or largest loss.</param>
public readonly record struct TuneTarget(TuneTargetKind Kind, double Value)
{
    /// <summary>The only one of the three that is given, or null when none is.</summary>
    /// <param name="bits">Mean bits per weight, scales included, such as <c>4.25</c>.</param>
    /// <param name="size">A part of the input's size such as <c>0.3x</c>, or bytes such as <c>5MB</c>.</param>
    /// <param name="loss">Largest loss, such as <c>1%</c> or <c>0.01</c>.</param>
    /// <exception cref="ModelPackException">MP2232: not understood, or more than one.</exception>
    public static TuneTarget? Parse(string? bits, string? size, string? loss)
    {
        TuneTarget[] given =
        [
            .. bits is null ? [] : new[] { new TuneTarget(TuneTargetKind.Bits, Number(bits, "--target-bits", "bits per weight such as 4.25")) },
            .. size is null ? [] : new[] { Size(size) },
            .. loss is null ? [] : new[] { Loss(loss) },
        ];
        return given.Length switch
        {
            0 => null,
            1 => given[0],
            _ => throw Bad("--target-bits, --target-size and --max-loss are different targets: give one of them"),
        };
    }

    public override string ToString() => Kind switch
    {
        TuneTargetKind.Bits => string.Create(CultureInfo.InvariantCulture, $"{Value:0.###} bits per weight"),
        TuneTargetKind.Ratio => string.Create(CultureInfo.InvariantCulture, $"{Value:0.###} of the input's size"),
        TuneTargetKind.Bytes => string.Create(CultureInfo.InvariantCulture, $"{Value:0} bytes"),
        _ => string.Create(CultureInfo.InvariantCulture, $"a loss of at most {Value * 100:0.###} %"),
    };

    private static TuneTarget Size(string text)
    {
        if (text.EndsWith('x'))
        {
            return new TuneTarget(TuneTargetKind.Ratio, Number(text[..^1], "--target-size", "a part of the input such as 0.3x, or a size such as 5MB"));
        }

        (string number, double unit) = text switch
        {
            _ when text.EndsWith("MiB", StringComparison.OrdinalIgnoreCase) => (text[..^3], 1L << 20),
            _ when text.EndsWith("GiB", StringComparison.OrdinalIgnoreCase) => (text[..^3], 1L << 30),
            _ when text.EndsWith("kB", StringComparison.OrdinalIgnoreCase) => (text[..^2], 1e3),
            _ when text.EndsWith("MB", StringComparison.OrdinalIgnoreCase) => (text[..^2], 1e6),
            _ when text.EndsWith("GB", StringComparison.OrdinalIgnoreCase) => (text[..^2], 1e9),
            _ => (text, 1.0),
        };
        return new TuneTarget(TuneTargetKind.Bytes, Number(number, "--target-size", "a part of the input such as 0.3x, or a size such as 5MB") * unit);
    }

    private static TuneTarget Loss(string text) => text.EndsWith('%')
        ? new TuneTarget(TuneTargetKind.Loss, Number(text[..^1], "--max-loss", "a percentage such as 1%") / 100)
        : new TuneTarget(TuneTargetKind.Loss, Number(text, "--max-loss", "a percentage such as 1%"));

    private static double Number(string text, string option, string expected) =>
        double.TryParse(text.Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value > 0 && double.IsFinite(value)
            ? value
            : throw Bad($"{option} takes {expected}, not '{text}'");

    private static ModelPackException Bad(string message) => new(ErrorCodes.BadTuneTarget, message);
}

/// <summary>Kinds of targets.</summary>
public enum TuneTargetKind
{
    /// <summary>Mean bits per weight over all weights that the search may encode.</summary>
    Bits,

    /// <summary>Size of the whole model as a part of the input's.</summary>
    Ratio,

    /// <summary>Size of the whole model in bytes.</summary>
    Bytes,

    /// <summary>The smallest model whose measured loss is not above this.</summary>
    Loss,
}
