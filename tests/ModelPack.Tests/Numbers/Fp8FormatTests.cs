using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Format <c>fp8</c>: codes, scales and layout.</summary>
public sealed class Fp8FormatTests
{
    public static TheoryData<string> Elements() => [.. Fp8Element.Names];

    [Theory]
    [MemberData(nameof(Elements))]
    public void Decode_everyCode_isItsValueTimesTheScale_andEncodesToItself(string element)
    {
        float[] table = SmallFloatReference.DecodeTable(Fp8Element.Get(element).Format);
        byte[] codes = [.. Enumerable.Range(0, 256).Select(c => (byte)c)];
        foreach (float scale in new[] { 1f, 0.37f, 3e-5f, 1.25e-41f })
        {
            IBoundNumberFormat bound = Bind($"fp8(element={element},scale={SpecNumbers.Text(scale)},scope=tensor)", new Shape(256));
            float[] values = new float[256];
            bound.DecodeRows([codes], 1, values);
            Assert.All(codes, c => Assert.True(Golden.SameValue(table[c] * scale, values[c]), $"{element} {c:X2} x {scale}"));
            if (scale > 1e-6f)
            {
                byte[] finite = [.. codes.Where(c => float.IsFinite(table[c]))];
                byte[] back = new byte[finite.Length];
                Bind(bound.Spec.ToString(), new Shape(finite.Length)).EncodeRows([.. finite.Select(c => values[c])], 1, [back]);
                Assert.Equal(finite, back);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Elements))]
    public void Encode_isMonotone_andSaturatesBeyondTheLargest(string element)
    {
        Fp8Element e = Fp8Element.Get(element);
        float[] values = [.. Values.AnyBits(5, 3000).Where(float.IsFinite).Concat([e.Max, MathF.BitIncrement(e.Max), e.Max * 1.5f, float.MaxValue, 0, float.Epsilon]).Select(MathF.Abs).Order()];
        byte[] codes = new byte[values.Length];
        Bind($"fp8(element={element},scale=1,scope=tensor)", new Shape(values.Length)).EncodeRows(values, 1, [codes]);
        Assert.All(Enumerable.Range(1, codes.Length - 1), i => Assert.True(codes[i] >= codes[i - 1], $"{values[i - 1]:R} and {values[i]:R}"));
        Assert.Equal(e.Format.MaxCode, codes[^1]);
        float[] table = SmallFloatReference.DecodeTable(e.Format);
        Assert.All(Enumerable.Range(0, codes.Length).Where(i => values[i] <= e.Max), i =>
        {
            float distance = Math.Abs(values[i] - table[codes[i]]);
            Assert.True(codes[i] == 0 || distance <= Math.Abs(values[i] - table[codes[i] - 1]));
            Assert.True(codes[i] == e.Format.MaxCode || distance <= Math.Abs(values[i] - table[codes[i] + 1]));
        });
    }

    [Theory]
    [InlineData("absmax", 1f, 0.1f, 0.1f / 448)]
    [InlineData("absmax", 448f, 448f, 1f)]
    [InlineData("pow2", 448f, 448f, 1f)]
    [InlineData("pow2", 1f, 448.00003f, 2f)]
    [InlineData("pow2", 1f, 1e-41f, 2.242078E-44f)]
    [InlineData("pow2", 1f, 1e-45f, 1.4E-45f)]
    [InlineData("absmax", 1f, 1e-45f, 1.4E-45f)]
    [InlineData("pow2", 1f, float.MaxValue, 6.646140E+35f)]
    public void Scale_ofABlock_followsItsRule(string rule, float other, float amax, float expected)
    {
        IBoundNumberFormat bound = Bind($"fp8(rule={rule})", new Shape(1, 3));
        (byte[] codes, float[] scales) = Encode(bound, [Math.Min(other, amax), -amax, 0]);
        Assert.Equal(expected, scales[0]);
        float[] back = Decode(bound, codes, scales);
        Assert.All(back, v => Assert.True(float.IsFinite(v)));
        Assert.True(back[1] < 0);
        Assert.Equal(0, codes[2]);
    }

    [Theory]
    [InlineData("e4m3", 1f, 1f / 16)]
    [InlineData("e4m3", 240f, 1f)]
    [InlineData("e4m3", 241f, 16f)]
    [InlineData("e4m3", 1e30f, 16f)]
    [InlineData("e4m3", 1e-40f, 1f / 256)]
    [InlineData("e4m3fn", 1f, 1f / 256)]
    [InlineData("e4m3fn", 1e30f, 128f)]
    [InlineData("e4m3fn", 1e-40f, 2.7755575615628914e-17f)]
    [InlineData("e5m2", 1f, 1f)]
    public void Scale_gaudi_isOneOfTheHardware(string element, float amax, float expected) =>
        Assert.Equal(expected, Encode(Bind($"fp8(element={element},rule=gaudi)", new Shape(1, 2)), [amax, 0]).Scales[0]);

    [Fact]
    public void Scale_backoffAndLeastAmax_moveTheScale()
    {
        Assert.Equal(2 * (3f / 448), Encode(Bind("fp8(backoff=0.5)", new Shape(1, 1)), [3]).Scales[0]);
        Assert.Equal(0.001f / 448, Encode(Bind("fp8(min_amax=0.001)", new Shape(1, 1)), [1e-6f]).Scales[0]);
        Assert.Equal(0.001f / 448, Encode(Bind("fp8(min_amax=0.001)", new Shape(1, 1)), [0]).Scales[0]);
    }

    [Theory]
    [MemberData(nameof(Elements))]
    public void Encode_hugeAndZeroBlocks_stayFinite(string element)
    {
        foreach (string rule in new[] { "absmax", "mse", "pow2" })
        {
            IBoundNumberFormat bound = Bind($"fp8(block=16,element={element},rule={rule},scope=block)", new Shape(1, 48));
            float[] values = [.. Enumerable.Repeat(-0f, 16), .. Enumerable.Range(0, 16).Select(i => i == 7 ? float.MaxValue : 1e30f * i), .. Enumerable.Range(0, 16).Select(i => i * float.Epsilon)];
            (byte[] codes, float[] scales) = Encode(bound, values);
            float[] back = Decode(bound, codes, scales);
            Assert.All(back, v => Assert.True(float.IsFinite(v)));
            Assert.Equal(1, scales[0]);
            Assert.All(codes[..16], c => Assert.Equal(Fp8Element.Get(element).Format.HasNegativeZero ? 0x80 : 0, c));
            Assert.InRange(back[23], float.MaxValue / 2, float.MaxValue);
        }
    }

    [Fact]
    public void Encode_mse_isNeverWorse_andOftenBetter()
    {
        int better = 0;
        for (ulong seed = 0; seed < 40; seed++)
        {
            float[] values = Values.Weights(seed, 5 * 200);
            foreach (string scope in new[] { "row", "block", "tile", "tensor" })
            {
                double absmax = Error($"fp8(scope={scope})", values);
                double mse = Error($"fp8(rule=mse,scope={scope})", values);
                Assert.True(mse <= absmax, $"seed {seed}, {scope}: {mse} after {absmax}");
                better += mse < absmax * 0.99 ? 1 : 0;
            }
        }

        Assert.True(better > 80, $"{better} of 160");
    }

    /// <summary>The search measures errors with reciprocals and in f32; the scale it takes must be as good as the best candidate measured exactly, as encoded with divisions.</summary>
    [Theory]
    [InlineData("e4m3fn", false)]
    [InlineData("e4m3fn", true)]
    [InlineData("e5m2", false)]
    [InlineData("e5m2fnuz", true)]
    public void Encode_mse_takesTheBestCandidate_measuredExactly(string element, bool heavyTailed)
    {
        Fp8Element type = Fp8Element.Get(element);
        for (int seed = 0; seed < 20; seed++)
        {
            const int columns = 700;
            float[] values = GaussianError.Sample((seed + 1) * columns, 0.02f)[^columns..];
            values = heavyTailed ? [.. values.Select(v => v * v * v * 1e4f)] : values;
            IBoundNumberFormat bound = Bind($"fp8(element={element},rule=mse)", new Shape(1, columns));
            float chosen = Encode(bound, values).Scales[0];
            float start = values.Max(MathF.Abs) / type.Max;
            double best = Enumerable.Range(0, 21).Min(k => Exact(start * ((12 + k) / 16f)));
            Assert.InRange(Exact(chosen), best, best * (1 + (1.0 / 16384)));

            double Exact(float scale) => values.Sum(v =>
            {
                double error = v - ((double)SmallFloatReference.DecodeFinite(SmallFloatReference.Encode(v / scale, type.Format), type.Format) * scale);
                return error * error;
            });
        }
    }

    /// <summary>Error sums to the last bit: dense values around powers of two (where rounding changes its quantum), ties, subnormal and clipped ones, in all mixtures that share sums between candidates or not.</summary>
    [Theory]
    [InlineData("e4m3fn")]
    [InlineData("e4m3fnuz")]
    [InlineData("e5m2")]
    [InlineData("e5m2fnuz")]
    [InlineData("e4m3")]
    [Trait("Category", "Simd")]
    public void AddErrors_equals_the_reference(string element)
    {
        Fp8Element type = Fp8Element.Get(element);
        var rule = new Fp8Rule(type, "mse", 1, 0);
        float least = BitConverter.Int32BitsToSingle(type.Format.MinNormalBits);
        float[] candidates = new float[Fp8Rule.Candidates];
        float[] reciprocals = new float[Fp8Rule.Candidates];
        foreach (float scale in new[] { 1f, 0.37f, 1e-28f, 1.2345e-4f, 3e25f })
        {
            rule.Fill(scale, candidates, reciprocals);
            for (int binade = -12; binade <= 8; binade++)
            {
                float power = MathF.ScaleB(type.Max, binade - 4) * scale;
                int bits = BitConverter.SingleToInt32Bits(power) & 0x7F800000;
                int lowest = BitConverter.SingleToInt32Bits(least * scale * 1.2f);
                float[] edges = [.. Enumerable.Range(-260, 520).Select(i => BitConverter.Int32BitsToSingle(bits + i))];
                float[] steps = [.. Enumerable.Range(0, 2100).Select(i => BitConverter.Int32BitsToSingle(bits + (i << 13)) * (i % 2 == 0 ? 1 : -1))];
                foreach (float[] row in new[] { edges, steps, [.. steps, 0, -0f, BitConverter.Int32BitsToSingle(lowest)], [.. edges, 1e-3f * least * scale], [.. edges.Select(v => v * candidates[7])], [.. edges.Take(7)] })
                {
                    double[] expected = new double[Fp8Rule.Candidates];
                    Fp8Reference.AddErrors(row, reciprocals, type.Format, expected);
                    foreach (SimdTier tier in SimdTiers.Supported)
                    {
                        double[] actual = new double[Fp8Rule.Candidates];
                        Fp8Format.AddErrors(row, reciprocals, type.Format, tier, actual);
                        Assert.True(expected.AsSpan().SequenceEqual(actual), $"{element}, scale {scale}, binade {binade}, {row.Length} values from {row[0]}, {tier}");
                    }
                }
            }
        }
    }

    /// <summary>Large blocks leave candidates out that cannot win; what is chosen must be what the reference chooses from all, also where candidates are nearly or exactly as good, or errors are nothing but roundings.</summary>
    [Theory]
    [MemberData(nameof(Elements))]
    [Trait("Category", "Simd")]
    public void Encode_mse_largeBlocks_takesTheScaleOfTheReference(string element)
    {
        Fp8Element type = Fp8Element.Get(element);
        float[] table = [.. SmallFloatReference.DecodeTable(type.Format).Where(float.IsFinite)];
        foreach ((string name, Func<int, float> value) in Kinds())
        {
            foreach ((string arguments, Shape shape) in new[] { ("scope=row", new Shape(2, 1700)), ("block=2048,scope=block", new Shape(1, 4096)), ("scope=tile", new Shape(130, 141)), ("backoff=0.5,scope=row", new Shape(1, 1025)) })
            {
                UnitSpec spec = UnitSpec.Parse($"fp8(element={element},rule=mse,{arguments})");
                float[] values = [.. Enumerable.Range(0, (int)shape.ElementCount).Select(value)];
                (byte[] codes, float[] scales) = Encode(((ITieredFormat)NumberFormats.Get("fp8")).Bind(spec, shape, SimdTier.Scalar), values);
                foreach (SimdTier tier in SimdTiers.Supported)
                {
                    (byte[] actualCodes, float[] actualScales) = Encode(((ITieredFormat)NumberFormats.Get("fp8")).Bind(spec, shape, tier), values);
                    Assert.True(scales.AsSpan().SequenceEqual(actualScales), $"{spec}, {name}, {tier}: scales");
                    Assert.True(codes.AsSpan().SequenceEqual(actualCodes), $"{spec}, {name}, {tier}: codes");
                }
            }
        }

        IEnumerable<(string Name, Func<int, float> Value)> Kinds()
        {
            float[] normal = GaussianError.Sample(1 << 15, 0.02f);
            yield return ("normal", i => normal[i]);
            yield return ("heavy tails", i => normal[i] * normal[i] * normal[i] * 1e4f);
            yield return ("uniform", i => ((i * 7919 % 10007) - 5003) * 1e-3f);
            yield return ("codes", i => table[i * 31 % table.Length] * 0.0123f);
            yield return ("codes of a clipping scale", i => table[i * 31 % table.Length] * 0.0123f * (i % 97 == 0 ? 1.25f : 1));
            yield return ("nearly codes", i => table[i * 31 % table.Length] * (0.0123f + (i % 5 * 1e-9f)));
            yield return ("three values", i => (i % 3 - 1) * 0.7f);
            yield return ("few values and dust", i => i % 3 == 0 ? i * 1e-38f : (i % 7 - 3) * 0.5f);
            yield return ("an outlier", i => i == 40 ? 1000 : normal[i]);
            yield return ("zeros and an outlier", i => i == 40 ? 1000 : i % 50 == 0 ? normal[i] : 0);
            yield return ("ties", i => type.Max * (1 - ((i % 64) / 128f)));
            yield return ("around powers of two", i => MathF.ScaleB(1 + ((i % 9 - 4) * 1.1920929e-7f), i % 14));
            yield return ("huge", i => i % 100 == 0 ? 3.3e38f : normal[i] * 1e38f * 10);
            yield return ("tiny", i => normal[i] * 1e-26f);
        }
    }

    [Fact]
    public void Encode_pow2_isAnExponentShift()
    {
        float[] values = Values.Weights(3, 512);
        IBoundNumberFormat bound = Bind("fp8(rule=pow2)", new Shape(1, 512));
        (byte[] codes, float[] scales) = Encode(bound, values);
        Assert.Equal(0, BitConverter.SingleToInt32Bits(scales[0]) & 0x7FFFFF);
        byte[] plain = new byte[512];
        Bind("f8e4m3fn", new Shape(1, 512)).EncodeRows([.. values.Select(v => v / scales[0])], 1, [plain]);
        Assert.Equal(plain, codes);
    }

    [Theory]
    [InlineData(256, 130, 2, 2)]
    [InlineData(200, 300, 2, 3)]
    [InlineData(127, 1, 1, 1)]
    [InlineData(1, 129, 1, 2)]
    public void Tile_streamsAreTheMatricesOfACheckpoint(int rows, int columns, int down, int across)
    {
        var shape = new Shape(rows, columns);
        IBoundNumberFormat bound = Bind("fp8(scope=tile)", shape);
        Assert.Equal(rows * columns, bound.Streams[0].BytesPerRow * bound.Shape.Rows);
        Assert.Equal(down * across * 4, bound.Streams[1].BytesPerRow * bound.Shape.Rows);
        float[] values = Values.Weights(9, rows * columns);
        (byte[] codes, float[] scales) = Encode(bound, values);
        for (int r = 0; r < down; r++)
        {
            for (int c = 0; c < across; c++)
            {
                float amax = 0;
                for (int i = r * 128; i < Math.Min(rows, (r + 1) * 128); i++)
                {
                    for (int j = c * 128; j < Math.Min(columns, (c + 1) * 128); j++)
                    {
                        amax = Math.Max(amax, Math.Abs(values[(i * columns) + j]));
                    }
                }

                Assert.Equal(amax / 448, scales[(r * across) + c]);
            }
        }

        float[] table = SmallFloatReference.DecodeTable(SmallFloatFormat.E4M3Fn);
        float[] back = Decode(bound, codes, scales);
        Assert.All(Enumerable.Range(0, back.Length), i =>
            Assert.Equal(table[codes[i]] * scales[(i / columns / 128 * across) + (i % columns / 128)], back[i]));
    }

    [Theory]
    [InlineData(384, 70, "fp8(scope=tile)")]
    [InlineData(200, 300, "fp8(scope=tile)")]
    [InlineData(96, 33, "fp8(block=32,scope=tile)")]
    public void DecodePart_anyRows_equalsTheWhole(int rows, int columns, string spec)
    {
        IBoundNumberFormat bound = Bind(spec, new Shape(rows, columns));
        var grouped = (IGroupedRowFormat)bound;
        (byte[] codes, float[] scales) = Encode(bound, Values.Weights(2, rows * columns));
        byte[][] streams = [codes, MemoryMarshal.AsBytes<float>(scales).ToArray()];
        float[] whole = Decode(bound, codes, scales);
        int perCoded = rows / (int)bound.Shape.Rows;
        for (int first = 0; first < perCoded; first += 7)
        {
            foreach (int count in new[] { 1, 3, perCoded - first }.Where(n => first + n <= perCoded))
            {
                int coded = (int)bound.Shape.Rows - 1;
                ReadOnlyMemory<byte>[] parts =
                [
                    .. streams.Select((s, i) =>
                    {
                        (int offset, int length) = grouped.Part(i, first, count);
                        return (ReadOnlyMemory<byte>)s.AsMemory((coded * (int)bound.Streams[i].BytesPerRow) + offset, length);
                    }),
                ];
                float[] values = new float[count * columns];
                grouped.DecodePart(parts, first, count, values);
                Assert.Equal(whole.AsSpan(((coded * perCoded) + first) * columns, values.Length).ToArray(), values);
            }
        }
    }

    [Theory]
    [InlineData("fp8(backoff=0)")]
    [InlineData("fp8(backoff=1.5)")]
    [InlineData("fp8(min_amax=-1)")]
    [InlineData("fp8(scale=1)")]
    [InlineData("fp8(scale=0,scope=tensor)")]
    [InlineData("fp8(block=128)")]
    [InlineData("fp8(block=24,scope=tile)")]
    [InlineData("fp8(element=e3m4)")]
    [InlineData("fp8(element=e5m2fnuz,rule=gaudi)")]
    [InlineData("fp8(rule=none)")]
    public void Bind_impossibleArguments_isMP1022(string spec) =>
        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => Bind(spec, new Shape(4, 4))).Code);

    [Fact]
    public void Tensor_withoutItsScale_canBeSizedOnly()
    {
        IBoundNumberFormat bound = Bind("fp8(scope=tensor)", new Shape(2, 3));
        Assert.Equal(8, bound.BitsPerValue);
        Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => bound.EncodeRows(new float[6], 2, [new byte[6]])).Code);
        Assert.Equal(ErrorCodes.BadStream, Assert.Throws<ModelPackException>(() => bound.DecodeRows([new byte[6]], 2, new float[6])).Code);
    }

    [Fact]
    public void Decode_scaleThatIsNoNumber_isMP1023() =>
        Assert.Equal(ErrorCodes.BadStream, Assert.Throws<ModelPackException>(() => Decode(Bind("fp8(scope=tile)", new Shape(2, 2)), new byte[4], [float.NaN])).Code);

    private static IBoundNumberFormat Bind(string spec, Shape shape) => NumberFormats.Bind(UnitSpec.Parse(spec), shape);

    private static double Error(string spec, float[] values)
    {
        var shape = new Shape(5, 200);
        UnitSpec full = NumberFormats.Complete(UnitSpec.Parse(spec), new RawValueReader(DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray())));
        IBoundNumberFormat bound = NumberFormats.Bind(full, shape);
        (byte[] codes, float[] scales) = Encode(bound, values);
        float[] back = Decode(bound, codes, scales);
        return values.Zip(back, (a, b) => ((double)a - b) * ((double)a - b)).Sum();
    }

    private static (byte[] Codes, float[] Scales) Encode(IBoundNumberFormat bound, float[] values)
    {
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * bound.Shape.Rows])];
        bound.EncodeRows(values, (int)bound.Shape.Rows, [.. streams.Select(s => s.AsMemory())]);
        return (streams[0], streams.Length == 1 ? [float.Parse(bound.Spec.Text("scale", "1"), CultureInfo.InvariantCulture)] : MemoryMarshal.Cast<byte, float>(streams[1]).ToArray());
    }

    private static float[] Decode(IBoundNumberFormat bound, byte[] codes, float[] scales)
    {
        float[] values = new float[codes.Length];
        ReadOnlyMemory<byte>[] streams = bound.Streams.Count == 1 ? [codes] : [codes, MemoryMarshal.AsBytes<float>(scales).ToArray()];
        bound.DecodeRows(streams, (int)bound.Shape.Rows, values);
        return values;
    }
}
