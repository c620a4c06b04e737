using System.Globalization;
using System.Text;

namespace ModelPack.Numbers;

/// <summary>Palettes in specs and streams: entries as f32, f16 or bf16 bit patterns, ascending.</summary>
internal static class PaletteText
{
    /// <summary>Stored bytes of one entry.</summary>
    public static int Bytes(DType entries) => ScaleType.Bytes(entries);

    /// <summary>Rounds entries to what <paramref name="entries"/> can hold: nearest even, beyond its range the largest finite value.</summary>
    public static void Round(Span<float> palette, DType entries)
    {
        if (entries == DType.F32)
        {
            return;
        }

        foreach (ref float value in palette)
        {
            value = FromBits(ToBits(value, entries), entries);
        }
    }

    /// <summary>The bit pattern of an entry: 32 bits, or 16 in the low half.</summary>
    public static uint ToBits(float value, DType entries)
    {
        if (entries == DType.F32)
        {
            return BitConverter.SingleToUInt32Bits(value);
        }

        uint bits = entries == DType.BF16 ? HalfWidthReference.NarrowBf16(value) : (uint)SmallFloatReference.Encode(value, SmallFloatFormat.Half);
        return (bits & 0x8000) | Math.Min(bits & 0x7FFF, entries == DType.BF16 ? 0x7F7Fu : 0x7BFF);
    }

    /// <summary>The inverse of <see cref="ToBits"/>.</summary>
    public static float FromBits(uint bits, DType entries) => entries switch
    {
        DType.F32 => BitConverter.UInt32BitsToSingle(bits),
        DType.BF16 => HalfWidthReference.WidenBf16((ushort)bits),
        _ => HalfWidthReference.WidenHalf((ushort)bits),
    };

    /// <summary>All entries as hexadecimal digits, the most significant of each first: 8 or 4 digits an entry.</summary>
    public static string Of(ReadOnlySpan<float> palette, DType entries)
    {
        string format = Bytes(entries) == 4 ? "x8" : "x4";
        var text = new StringBuilder();
        foreach (float value in palette)
        {
            text.Append(ToBits(value, entries).ToString(format, CultureInfo.InvariantCulture));
        }

        return text.ToString();
    }

    /// <exception cref="ModelPackException">MP1022: not 2^bits finite entries in ascending order.</exception>
    public static float[] Parse(string text, int bits, DType entries)
    {
        int digits = 2 * Bytes(entries);
        float[] palette = new float[1 << bits];
        bool valid = text.Length == palette.Length * digits && text.All(char.IsAsciiHexDigitLower);
        for (int i = 0; valid && i < palette.Length; i++)
        {
            palette[i] = FromBits(uint.Parse(text.AsSpan(i * digits, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture), entries);
            valid = float.IsFinite(palette[i]) && (i == 0 || FloatKey.Of(palette[i - 1]) <= FloatKey.Of(palette[i]));
        }

        return valid
            ? palette
            : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'palette': the argument palette is not {palette.Length} finite values in ascending order, {digits} lower-case hexadecimal digits each");
    }
}
