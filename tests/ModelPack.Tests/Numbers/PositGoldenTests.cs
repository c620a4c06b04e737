using System.Runtime.InteropServices;
using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Posits and bfloat8 against independent implementations, bit for bit, and their properties.</summary>
[Trait("Category", "Simd")]
public sealed class PositGoldenTests
{
    public static TheoryData<int, int> Formats() => new() { { 8, 0 }, { 8, 1 }, { 8, 2 }, { 16, 1 }, { 16, 2 } };

    [Theory]
    [MemberData(nameof(Formats))]
    public void Encode_equals_golden_on_every_tier(int bits, int es)
    {
        float[] input = Golden.Floats($"posit/p{bits}_{es}_in.bin");
        byte[] expected = Golden.Bytes($"posit/p{bits}_{es}_codes.bin");
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            byte[] codes = Encode(bits, es, tier, input);
            for (int i = 0; i < input.Length; i++)
            {
                Assert.True(Code(expected, bits, i) == Code(codes, bits, i), $"{input[i]:R} on {tier}: {Code(codes, bits, i):X4} instead of {Code(expected, bits, i):X4}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Decode_of_every_code_equals_golden_on_every_tier(int bits, int es)
    {
        float[] expected = bits == 16
            ? Golden.Floats($"posit/p{bits}_{es}_table_f32.bin")
            : [.. MemoryMarshal.Cast<byte, double>(Golden.Bytes($"posit/p{bits}_{es}_table_f64.bin")).ToArray().Select(d => (float)d)];
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            float[] values = AllValues(bits, es, tier);
            Assert.Equal(expected.Length, values.Length);
            for (int code = 0; code < expected.Length; code++)
            {
                Assert.True(Golden.SameValue(expected[code], values[code]), $"code {code:X4} on {tier}: {values[code]:R} instead of {expected[code]:R}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Encode_of_every_value_gives_its_code_and_codes_are_ordered(int bits, int es)
    {
        float[] values = AllValues(bits, es, SimdTiers.Current);
        byte[] codes = Encode(bits, es, SimdTiers.Current, values);
        for (int code = 0; code < values.Length; code++)
        {
            Assert.Equal(code, Code(codes, bits, code));
        }

        // Read as two's complement, codes are ordered like their values, with NaR below all.
        int nar = 1 << (bits - 1);
        for (int signed = -nar + 2; signed < nar; signed++)
        {
            Assert.True(values[signed & ((1 << bits) - 1)] > values[(signed - 1) & ((1 << bits) - 1)], $"code {signed}");
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Encode_is_monotone_saturates_and_never_gives_zero_or_NaR(int bits, int es)
    {
        float[] inputs = [.. Enumerable.Range(1, 0x7F7F).Select(i => BitConverter.Int32BitsToSingle((i << 16) | (i * 40503 & 0xFFFF)))];
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            byte[] codes = Encode(bits, es, tier, inputs);
            int before = 1;
            for (int i = 0; i < inputs.Length; i++)
            {
                int code = Code(codes, bits, i);
                Assert.InRange(code, before, (1 << (bits - 1)) - 1);
                before = code;
            }

            byte[] special = Encode(bits, es, tier, [0f, -0f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.Epsilon, -float.Epsilon, float.MaxValue, -float.MaxValue, 0, 0, 0, 0, 0, 0, 0, 1f]);
            int nar = 1 << (bits - 1);
            Assert.Equal([0, 0, nar, nar, nar, 1, (2 * nar) - 1, nar - 1, nar + 1], Enumerable.Range(0, 9).Select(i => Code(special, bits, i)));
            Assert.Equal(nar / 2, Code(special, bits, 16));
        }
    }

    [Fact]
    public void BFloat8_equals_golden_on_every_tier()
    {
        float[] input = Golden.Floats("scalar/bfloat8_in.bin");
        byte[] expected = Golden.Bytes("scalar/bfloat8_trunc_codes.bin");
        float[] decoded = Golden.Floats("scalar/bfloat8_trunc_dec.bin");
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("bfloat8")).Bind(new UnitSpec("bfloat8"), new Shape(input.Length), tier);
            byte[] codes = new byte[input.Length];
            float[] values = new float[input.Length];
            bound.EncodeRows(input, 1, [codes]);
            bound.DecodeRows([codes], 1, values);
            for (int i = 0; i < input.Length; i++)
            {
                Assert.True(Golden.SameValue(decoded[i], values[i]), $"{input[i]:R} on {tier}: {values[i]:R} instead of {decoded[i]:R}");
                Assert.True(float.IsNaN(input[i]) || codes[i] == expected[i], $"{input[i]:R} on {tier}: {codes[i]:X2} instead of {expected[i]:X2}");
            }
        }
    }

    [Fact]
    public void BFloat8_of_every_finite_code_is_exact_and_truncates_towards_zero()
    {
        for (int code = 0; code < 256; code++)
        {
            float value = BFloat8Reference.Decode((byte)code);
            if (float.IsFinite(value))
            {
                Assert.Equal(code, BFloat8Reference.Encode(value));
                float beyond = value < 0 || code == 0x80 ? MathF.BitDecrement(value) : MathF.BitIncrement(value);
                Assert.Equal(code, BFloat8Reference.Encode(beyond));
            }
        }

        Assert.Equal(0x7B, BFloat8Reference.Encode(MathF.BitDecrement(65536f)));
        Assert.Equal(0x7C, BFloat8Reference.Encode(65536f));
        Assert.Equal(0xFC, BFloat8Reference.Encode(float.NegativeInfinity));
    }

    [Theory]
    [InlineData("posit8(es=3)")]
    [InlineData("posit16(es=0)")]
    [InlineData("bfloat8(es=1)")]
    public void Bind_wrongArguments_isMP1022(string spec) =>
        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(4, 64))).Code);

    private static byte[] Encode(int bits, int es, SimdTier tier, float[] values)
    {
        byte[] codes = new byte[values.Length * bits / 8];
        Bind(bits, es, tier, values.Length).EncodeRows(values, 1, [codes]);
        return codes;
    }

    private static float[] AllValues(int bits, int es, SimdTier tier)
    {
        float[] values = new float[1 << bits];
        byte[] codes = bits == 8
            ? [.. Enumerable.Range(0, 256).Select(c => (byte)c)]
            : MemoryMarshal.AsBytes<ushort>([.. Enumerable.Range(0, 65536).Select(c => (ushort)c)]).ToArray();
        Bind(bits, es, tier, values.Length).DecodeRows([codes], 1, values);
        return values;
    }

    private static IBoundNumberFormat Bind(int bits, int es, SimdTier tier, int length) =>
        ((ITieredFormat)NumberFormats.Get($"posit{bits}")).Bind(UnitSpec.Parse($"posit{bits}(es={es})"), new Shape(length), tier);

    private static int Code(byte[] codes, int bits, int index) => bits == 8 ? codes[index] : BitConverter.ToUInt16(codes, index * 2);
}
