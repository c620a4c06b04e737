using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Properties of block floats that hold for every element format, on every tier.</summary>
[Trait("Category", "Simd")]
public sealed class BlockFloatTests
{
    /// <summary>Splits of 1 to 8 bits with every kind of special codes, without a scale.</summary>
    public static TheoryData<string> Scalars()
    {
        var data = new TheoryData<string>();
        foreach (bool sign in new[] { true, false })
        {
            for (int exponent = 0; exponent <= 7; exponent++)
            {
                for (int mantissa = exponent == 0 ? 1 : 0; mantissa <= 7 && exponent + mantissa + (sign ? 1 : 0) <= 8; mantissa++)
                {
                    data.Add($"float(exponent={exponent},mantissa={mantissa},sign={(sign ? "true" : "false")},specials=none,scale=none)");
                }
            }
        }

        data.Add("float(exponent=4,mantissa=3,scale=none)");
        data.Add("float(exponent=5,mantissa=2,scale=none)");
        data.Add("float(exponent=4,mantissa=3,specials=fnuz,bias=8,scale=none)");
        data.Add("float(exponent=4,mantissa=3,specials=ieee,scale=none)");
        data.Add("float(exponent=1,mantissa=1,specials=ieee,scale=none)");
        data.Add("float(exponent=0,mantissa=5,specials=fnuz,bias=-100,scale=none)");
        data.Add("float(exponent=3,mantissa=0,specials=fn,bias=21,scale=none)");
        data.Add("float(exponent=2,mantissa=3,bias=120,scale=none)");
        data.Add("float(exponent=2,mantissa=1,specials=fn,sign=false,bias=-99,scale=none)");
        return data;
    }

    [Theory]
    [MemberData(nameof(Scalars))]
    public void Encode_of_every_decoded_code_is_that_code_up_to_aliases(string spec)
    {
        Coder coder = new(spec, 1 << 8);
        ElementFormat element = coder.Element;
        byte[] all = Pack([.. Enumerable.Range(0, 256).Select(i => i & (element.Values.Length - 1))], element.Bits);
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            float[] values = coder.Decode(tier, all);
            int[] codes = Unpack(coder.Encode(tier, values)[0], element.Bits);
            for (int code = 0; code < element.Values.Length; code++)
            {
                Assert.True(Golden.SameValue(element.Values[code], values[code]), $"{spec} on {tier}: code {code:X2} is {values[code]:R}");
                bool same = float.IsNaN(values[code]) ? float.IsNaN(element.Values[codes[code]])
                    : float.IsInfinity(values[code]) ? element.Values[codes[code]] == MathF.CopySign(element.Max, values[code])
                    : codes[code] == code;
                Assert.True(same, $"{spec} on {tier}: {values[code]:R} of code {code:X2} became {codes[code]:X2}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Scalars))]
    public void Encode_on_and_beside_every_tie_and_beyond_the_largest_value(string spec)
    {
        ElementFormat element = new Coder(spec, 1).Element;
        var inputs = new List<(float Value, int Code)>();
        for (int code = 0; code <= element.MaxCode; code++)
        {
            float value = element.Values[code];
            inputs.Add((value, code));
            if (code < element.MaxCode)
            {
                float tie = (float)(((double)value + element.Values[code + 1]) / 2);
                inputs.AddRange([(MathF.BitDecrement(tie), code), (tie, code + (code & 1)), (MathF.BitIncrement(tie), code + 1)]);
            }
        }

        inputs.AddRange([(MathF.BitIncrement(element.Max), element.MaxCode), (element.Max * 1.75f, element.MaxCode), (float.MaxValue, element.MaxCode), (float.Epsilon, 0)]);
        int signBit = element.Signed ? 1 << (element.Bits - 1) : 0;
        if (element.Signed)
        {
            inputs.AddRange([.. inputs.Select(i => (-i.Value, i.Code == 0 && element.Specials == FloatSpecials.Fnuz ? 0 : i.Code | signBit))]);
        }

        float[] values = [.. inputs.Select(i => i.Value)];
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            int[] codes = Unpack(new Coder(spec, values.Length).Encode(tier, values)[0], element.Bits);
            for (int i = 0; i < values.Length; i++)
            {
                Assert.True(inputs[i].Code == codes[i], $"{spec} on {tier}: {values[i]:R} became {codes[i]:X2} instead of {inputs[i].Code:X2}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Scalars))]
    public void Decoded_values_rise_with_the_inputs(string spec)
    {
        Coder coder = new(spec, 4096);
        bool signed = coder.Element.Signed;
        float low = MathF.Max(coder.Element.Values[1] / 4, 1e-38f);
        var random = new SplitMix(8);
        float[] sorted = [.. Enumerable.Range(0, 4096).Select(_ => Geometric(low, coder.Element.Max * 1.5f, random.Below(1 << 20) / (float)(1 << 20)) * (signed && random.Below(2) == 0 ? -1 : 1)).Order()];
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            float[] decoded = coder.Decode(tier, coder.Encode(tier, sorted)[0]);
            Assert.True(Enumerable.Range(1, decoded.Length - 1).All(i => decoded[i - 1] <= decoded[i]), $"{spec} on {tier} does not rise (seed 8)");
            Assert.Equal(coder.Element.Max, decoded[^1]);
        }
    }

    [Theory]
    [InlineData("mxfp8")]
    [InlineData("mxfp8(element=e5m2)")]
    [InlineData("mxfp6")]
    [InlineData("mxfp6(element=e3m2,mode=even)")]
    [InlineData("mxfp4")]
    [InlineData("mxint8")]
    [InlineData("float(exponent=3,mantissa=4)")]
    [InlineData("float(exponent=0,mantissa=3,specials=none)")]
    public void Encode_of_every_code_beside_the_largest_gives_scale_and_code_back(string spec)
    {
        Coder coder = new(spec, 256 * 32);
        ElementFormat element = coder.Element;

        // One block per code: the code, the largest code, zeros.
        int[] codes = new int[256 * 32];
        for (int b = 0; b < 256; b++)
        {
            int code = b & (element.Values.Length - 1);
            bool alias = !float.IsFinite(element.Values[code]) || (element.IsInteger && code == 128);
            codes[32 * b] = alias ? 0 : code;
            codes[(32 * b) + 31] = element.MaxCode;
        }

        byte[] packed = Pack(codes, element.Bits);
        foreach (int scale in new[] { 0, 1, 2, 63, 127, 200, 253 - element.Emax })
        {
            byte[] scales = [.. Enumerable.Repeat((byte)scale, 256)];
            foreach (SimdTier tier in SimdTiers.Supported)
            {
                float[] values = coder.Decode(tier, packed, scales);
                Assert.Equal((float)Math.ScaleB(element.Max, scale - 127), values[31]);
                byte[][] back = coder.Encode(tier, values);
                Assert.Equal(scales, back[1]);
                Assert.Equal(packed, back[0]);
            }
        }
    }

    [Theory]
    [InlineData("mxfp8", true)]
    [InlineData("mxfp8(element=e5m2,mode=even)", true)]
    [InlineData("mxfp8(mode=ceil)", false)]
    [InlineData("mxfp6", true)]
    [InlineData("mxfp6(element=e3m2,mode=rceil)", false)]
    [InlineData("mxfp4", true)]
    [InlineData("mxfp4(mode=even)", true)]
    [InlineData("mxfp4(mode=rceil)", false)]
    [InlineData("mxint8", true)]
    [InlineData("nvfp4(global=0.0001)", true)]
    [InlineData("float(exponent=3,mantissa=1,scale=f16,block=64)", true)]
    [InlineData("float(exponent=2,mantissa=5,scale=bf16,block=row)", true)]
    public void Encode_of_decoded_values_changes_nothing(string spec, bool sameBytes)
    {
        foreach (int length in new[] { 1, 31, 32, 33, 200, 4096 })
        {
            Coder coder = new(spec, length);
            foreach (SimdTier tier in SimdTiers.Supported)
            {
                byte[][] once = coder.Encode(tier, Values.Weights((ulong)length, length));
                float[] decoded = coder.Decode(tier, once);
                byte[][] twice = coder.Encode(tier, decoded);
                Assert.Equal(decoded, coder.Decode(tier, twice));
                if (sameBytes)
                {
                    Assert.Equal(once, twice);
                }
            }
        }
    }

    [Fact]
    public void Blocks_of_NaN_or_infinity_are_NaN_and_leave_their_neighbours_alone()
    {
        foreach (string spec in new[] { "mxfp8", "mxfp8(element=e5m2,mode=rceil)", "mxfp6", "mxfp4(mode=even)", "mxint8(mode=ceil)" })
        {
            foreach (float special in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity, BitConverter.Int32BitsToSingle(0x7F800001), BitConverter.Int32BitsToSingle(-1) })
            {
                float[] values = Values.Weights(5, 100);
                Coder coder = new(spec, 100);
                byte[][] clean = coder.Encode(SimdTier.Scalar, values);
                values[45] = special;
                values[99] = special;
                foreach (SimdTier tier in SimdTiers.Supported)
                {
                    byte[][] streams = coder.Encode(tier, values);
                    float[] decoded = coder.Decode(tier, streams);
                    Assert.Equal([clean[1][0], 255, clean[1][2], 255], streams[1]);
                    Assert.All(Enumerable.Range(0, 100), i => Assert.Equal(i is >= 32 and < 64 or >= 96, float.IsNaN(decoded[i])));
                    Assert.All(Unpack(streams[0], coder.Element.Bits)[32..64], code => Assert.Equal(0, code));
                    Assert.Equal(Unpack(clean[0], coder.Element.Bits)[..32], Unpack(streams[0], coder.Element.Bits)[..32]);
                }
            }
        }
    }

    [Fact]
    public void Zeros_keep_their_sign_and_one_huge_value_flushes_the_others()
    {
        float[] values = new float[64];
        values[1] = -0f;
        values[32] = float.MaxValue;
        values[33] = -1f;
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            Coder coder = new("mxfp4", 64);
            byte[][] streams = coder.Encode(tier, values);
            int[] codes = Unpack(streams[0], 4);
            Assert.Equal([0, (byte)(127 + 127 - 2)], streams[1]);
            Assert.Equal([0, 8, 0], codes[..3]);
            Assert.Equal([7, 8, 0], codes[32..35]);
            Assert.Equal(6 * MathF.ScaleB(1, 125), coder.Decode(tier, streams)[32]);

            // The least f32 is an element of its own in formats with small subnormals, at the least scale.
            values[0] = float.Epsilon;
            Coder fine = new("mxfp8(element=e5m2)", 64);
            streams = fine.Encode(tier, values);
            Assert.Equal(0, streams[1][0]);
            Assert.Equal(0f, fine.Decode(tier, streams)[0]);
            values[0] = MathF.ScaleB(1, -143);
            Assert.Equal(values[0], fine.Decode(tier, fine.Encode(tier, values))[0]);
            values[0] = 0;
        }
    }

    [Theory]
    [InlineData("mxfp8(element=e2m1)")]
    [InlineData("mxfp4(element=e2m1)")]
    [InlineData("mxfp4(mode=nearest)")]
    [InlineData("mxfp4(block=16)")]
    [InlineData("nvfp4(global=0)")]
    [InlineData("nvfp4(global=-1)")]
    [InlineData("nvfp4(global=NaN)")]
    [InlineData("float(exponent=8)")]
    [InlineData("float(exponent=5,mantissa=3)")]
    [InlineData("float(exponent=0,mantissa=0)")]
    [InlineData("float(exponent=2,mantissa=1,bias=-125)")]
    [InlineData("float(exponent=7,mantissa=0,bias=0)")]
    [InlineData("float(exponent=0,mantissa=3,specials=fn)")]
    [InlineData("float(exponent=3,mantissa=0,specials=ieee)")]
    [InlineData("float(sign=false,specials=fnuz)")]
    [InlineData("float(block=24)")]
    [InlineData("float(block=0)")]
    [InlineData("float(scale=none,block=32)")]
    [InlineData("float(scale=f16,mode=floor)")]
    [InlineData("float(scale=f64)")]
    [InlineData("float(global=1)")]
    [InlineData("float(scale=none,block=tensor)")]
    [InlineData("float(scale=none,global=1)")]
    [InlineData("float(block=tensor,global=0)")]
    [InlineData("float(block=tensor,global=-1)")]
    [InlineData("float(block=tensor,global=3)")]
    [InlineData("float(block=tensor,global=1E-45)")]
    [InlineData("float(block=tensor,global=65520,scale=f16)")]
    [InlineData("float(block=tensor,global=1.001,scale=bf16)")]
    [InlineData("float(block=tensor,global=0.001,scale=e4m3)")]
    public void Bind_wrongArguments_isMP1022(string spec) =>
        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(4, 64))).Code);

    [Theory]
    [InlineData("float(sign=false,exponent=4,mantissa=4)", -1f)]
    [InlineData("float(sign=false,exponent=4,mantissa=4,scale=none)", -float.Epsilon)]
    [InlineData("float(scale=f16)", float.NaN)]
    [InlineData("float(scale=f32)", float.PositiveInfinity)]
    [InlineData("float(exponent=3,mantissa=2,scale=none)", float.NaN)]
    [InlineData("float(exponent=3,mantissa=2,scale=none)", float.NegativeInfinity)]
    [InlineData("nvfp4(global=1)", float.NaN)]
    public void Encode_of_what_has_no_code_isMP1040(string spec, float value)
    {
        float[] values = new float[40];
        values[37] = value;
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            Assert.Equal(ErrorCodes.UnrepresentableValue, Assert.Throws<ModelPackException>(() => new Coder(spec, 40).Encode(tier, values)).Code);
        }
    }

    [Theory]
    [InlineData("float(scale=f16)", new byte[] { 0, 0x7C, 0, 0x3C })]
    [InlineData("float(scale=bf16)", new byte[] { 0, 0x3F, 0xC0, 0x7F })]
    [InlineData("float(scale=f32)", new byte[] { 0, 0, 0x80, 0x7F, 0, 0, 0x80, 0x3F })]
    [InlineData("float(scale=e4m3)", new byte[] { 0x38, 0x7F })]
    public void Decode_of_scales_without_value_isMP1023(string spec, byte[] scales)
    {
        Coder coder = new(spec, 40);
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            Assert.Equal(ErrorCodes.BadStream, Assert.Throws<ModelPackException>(() => coder.Decode(tier, new byte[40], scales)).Code);
        }
    }

    /// <summary>One scale for the tensor: that of a row with all its values, whose codes are then the tensor's.</summary>
    [Theory]
    [InlineData("")]
    [InlineData(",mode=rceil")]
    [InlineData(",scale=e4m3")]
    [InlineData(",scale=f16")]
    [InlineData(",scale=bf16,exponent=5,mantissa=2")]
    [InlineData(",scale=f32,exponent=3,mantissa=4")]
    public void Tensor_isCodedLikeOneRow(string rest)
    {
        float[] values = Values.Weights(11, 600);
        values[417] = -3.7f;
        values[3] = -0f;
        var shape = new Shape(3, 200);
        UnitSpec spec = NumberFormats.Complete(UnitSpec.Parse($"float(block=tensor{rest})"), new RawValueReader(DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray())));
        Coder row = new($"float(block=row{rest})", 600);
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            byte[][] expected = row.Encode(tier, values);
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("float")).Bind(spec, shape, tier);
            Assert.Equal(8, bound.BitsPerValue);
            byte[] codes = new byte[600];
            bound.EncodeRows(values, 3, [codes]);
            Assert.Equal(expected[0], codes);
            float[] decoded = new float[600];
            bound.DecodeRows([codes], 3, decoded);
            Assert.Equal(row.Decode(tier, expected).Select(BitConverter.SingleToInt32Bits), decoded.Select(BitConverter.SingleToInt32Bits));
        }
    }

    [Fact]
    public void Tensor_withoutItsScale_canBeSizedOnly()
    {
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse("float(block=tensor)"), new Shape(2, 3));
        Assert.Equal(8, bound.BitsPerValue);
        Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => bound.EncodeRows(new float[6], 2, [new byte[6]])).Code);
        Assert.Equal(ErrorCodes.BadStream, Assert.Throws<ModelPackException>(() => bound.DecodeRows([new byte[6]], 2, new float[6])).Code);
    }

    [Fact]
    public void Unsigned_floats_hold_what_signed_ones_with_a_bit_less_hold_twice_as_finely()
    {
        float[] values = [.. Values.Weights(3, 200).Select(MathF.Abs)];
        values[7] = -0f;
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            Coder coder = new("float(sign=false,exponent=4,mantissa=4)", 200);
            Coder coarse = new("float(sign=true,exponent=4,mantissa=3,specials=none)", 200);
            float[] fine = coder.Decode(tier, coder.Encode(tier, values));
            float[] rough = coarse.Decode(tier, coarse.Encode(tier, values));
            Assert.Equal(0, BitConverter.SingleToInt32Bits(fine[7]));
            Assert.True(SquaredError(values, fine) < SquaredError(values, rough) / 3);
        }
    }

    private static double SquaredError(float[] a, float[] b) => a.Zip(b).Sum(p => ((double)p.First - p.Second) * ((double)p.First - p.Second));

    private static float Geometric(float low, float high, float t) => (float)(low * Math.Pow((double)high / low, t));

    private static byte[] Pack(int[] codes, int bits)
    {
        byte[] packed = new byte[((codes.Length * bits) + 7) / 8];
        for (int i = 0; i < codes.Length; i++)
        {
            CodePacking.Set(packed, i, bits, codes[i]);
        }

        return packed;
    }

    private static int[] Unpack(byte[] packed, int bits) => [.. Enumerable.Range(0, packed.Length * 8 / bits).Select(i => CodePacking.Get(packed, i, bits))];

    /// <summary>A format on one row.</summary>
    private sealed class Coder(string text, int length)
    {
        private readonly UnitSpec _spec = UnitSpec.Parse(text);

        public ElementFormat Element => Assert.IsType<BoundBlockFloatFormat>(Bind(SimdTier.Scalar)).Element;

        public byte[][] Encode(SimdTier tier, float[] values)
        {
            IBoundNumberFormat bound = Bind(tier);
            byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow])];
            bound.EncodeRows(values, 1, [.. streams.Select(s => new Memory<byte>(s))]);
            return streams;
        }

        public float[] Decode(SimdTier tier, params byte[][] streams)
        {
            float[] values = new float[length];
            Bind(tier).DecodeRows([.. streams.Select(s => new ReadOnlyMemory<byte>(s))], 1, values);
            return values;
        }

        private IBoundNumberFormat Bind(SimdTier tier) => ((ITieredFormat)NumberFormats.Get(_spec.Id)).Bind(_spec, new Shape(length), tier);
    }
}
