using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Every vector tier against the scalar reference, on buffers that end at an unmapped page.</summary>
public sealed class IntBlockKernelTests
{
    public static TheoryData<int, string> Cases()
    {
        var data = new TheoryData<int, string>();
        foreach (int bits in new[] { 2, 3, 4, 5, 6, 7, 8 })
        {
            foreach (string block in new[] { "16", "32", "row" })
            {
                data.Add(bits, block);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void EncodeRow_everyTier_equalsReference(int bits, string block)
    {
        // Twice the largest tile (two blocks of 32) and one more, then lengths around the runs of 256 in the error sums.
        int[] lengths = bits is 4 or 8 ? [.. Enumerable.Range(0, 66), 129, 257, 273, 513] : [0, 1, 15, 16, 17, 31, 32, 33, 63, 65, 257, 273];
        foreach (int length in lengths)
        {
            foreach ((DType scale, bool symmetric, bool search) in Variants())
            {
                if (search && length % 16 is not (0 or 1))
                {
                    continue;
                }

                UnitSpec spec = Spec(bits, block, scale, symmetric, search);
                IntBlockLayout layout = IntBlockFormat.Layout(spec, bits, length);
                float[] row = Values.Weights((ulong)(length + 1), length);
                Row expected = Row.Encode(row, layout, SimdTier.Scalar);
                foreach (SimdTier tier in SimdTiers.Supported)
                {
                    Row actual = Row.Encode(row, layout, tier);
                    Assert.True(expected.Equals(actual), $"{spec}, {length} values, {tier}: encoded bytes differ from the reference");
                    float[] values = expected.Decode(layout, tier);
                    Assert.True(
                        values.AsSpan().SequenceEqual(expected.Decode(layout, SimdTier.Scalar)),
                        $"{spec}, {length} values, {tier}: decoded values differ from the reference");
                }
            }
        }
    }

    [Fact]
    public void EncodeRow_extremeValues_everyTierEqualsReference()
    {
        float[][] rows =
        [
            [.. Enumerable.Repeat(0f, 40)],
            [.. Enumerable.Repeat(-0f, 40)],
            [.. Enumerable.Repeat(float.MaxValue, 33), -float.MaxValue],
            [.. Enumerable.Repeat(float.Epsilon, 33), -float.Epsilon, 3 * float.Epsilon],
            [.. Enumerable.Range(0, 50).Select(i => (i - 25) * float.Epsilon)],
            [.. Enumerable.Range(0, 50).Select(i => (i - 25) * 1e-39f)],
            [.. Enumerable.Range(0, 50).Select(i => (i - 25) * 1e37f)],
            [.. Enumerable.Range(0, 64).Select(i => (i - 32) * 0.5f)],
            [1e-30f, 65504f * 200, .. Enumerable.Repeat(1e-8f, 40)],
            [.. Enumerable.Range(0, 64).Select(i => -1f - i)],
            [.. Enumerable.Range(0, 64).Select(i => 1f + i)],
        ];
        foreach (float[] row in rows)
        {
            foreach (int bits in new[] { 2, 3, 4, 8 })
            {
                foreach ((DType scale, bool symmetric, bool search) in Variants())
                {
                    IntBlockLayout layout = IntBlockFormat.Layout(Spec(bits, "16", scale, symmetric, search), bits, row.Length);
                    Row expected = Row.Encode(row, layout, SimdTier.Scalar);
                    float[] decoded = expected.Decode(layout, SimdTier.Scalar);
                    Assert.All(decoded, v => Assert.False(float.IsNaN(v)));
                    foreach (SimdTier tier in SimdTiers.Supported)
                    {
                        Assert.True(expected.Equals(Row.Encode(row, layout, tier)), $"{layout} on {tier}, row starting {row[0]}");
                        Assert.Equal(decoded, expected.Decode(layout, tier));
                    }
                }
            }
        }
    }

    [Fact]
    public void EncodeRow_nonFiniteAnywhere_isReportedByEveryTier()
    {
        foreach (float bad in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity, BitConverter.Int32BitsToSingle(0x7F800001) })
        {
            for (int at = 0; at < 70; at += 3)
            {
                float[] row = Values.Weights(7, 70);
                row[at] = bad;
                foreach (bool symmetric in new[] { true, false })
                {
                    IntBlockLayout layout = IntBlockFormat.Layout(Spec(4, "32", DType.F32, symmetric, false), 4, row.Length);
                    foreach (SimdTier tier in SimdTiers.Supported)
                    {
                        int reported = IntBlockRow.Encode(row, layout, new byte[layout.CodeBytesPerRow], new byte[layout.ScaleBytesPerRow], new byte[layout.ZeroPointBytesPerRow], tier);
                        Assert.InRange(reported, at / 32 * 32, at);
                    }
                }
            }
        }
    }

    internal static IEnumerable<(DType Scale, bool Symmetric, bool Search)> Variants()
    {
        foreach (DType scale in new[] { DType.F32, DType.F16, DType.BF16 })
        {
            foreach (bool symmetric in new[] { true, false })
            {
                yield return (scale, symmetric, false);
            }
        }

        yield return (DType.F32, true, true);
        yield return (DType.F16, false, true);
    }

    internal static UnitSpec Spec(int bits, string block, DType scale, bool symmetric, bool search) =>
        UnitSpec.Parse($"int{bits}(block={block},scale={scale.Name()},symmetric={(symmetric ? "true" : "false")},search={(search ? "mse" : "none")})");

    /// <summary>The streams of one row, on guarded memory.</summary>
    private sealed record Row(byte[] Codes, byte[] Scales, byte[] ZeroPoints)
    {
        public static Row Encode(float[] values, IntBlockLayout layout, SimdTier tier)
        {
            using PoisonBuffer source = PoisonBuffer.Copy<float>(values);
            using PoisonBuffer codes = PoisonBuffer.EndingAtGuard(layout.CodeBytesPerRow);
            using PoisonBuffer scales = PoisonBuffer.EndingAtGuard(layout.ScaleBytesPerRow);
            using PoisonBuffer zeroPoints = PoisonBuffer.EndingAtGuard(layout.ZeroPointBytesPerRow);
            codes.GetSpan().Fill(0xA5);
            zeroPoints.GetSpan().Fill(0xA5);
            Assert.Equal(-1, IntBlockRow.Encode(source.As<float>(), layout, codes.GetSpan(), scales.GetSpan(), zeroPoints.GetSpan(), tier));
            return new(codes.GetSpan().ToArray(), scales.GetSpan().ToArray(), zeroPoints.GetSpan().ToArray());
        }

        public float[] Decode(IntBlockLayout layout, SimdTier tier)
        {
            using PoisonBuffer codes = PoisonBuffer.Copy<byte>(Codes);
            using PoisonBuffer scales = PoisonBuffer.Copy<byte>(Scales);
            using PoisonBuffer zeroPoints = PoisonBuffer.Copy<byte>(ZeroPoints);
            using PoisonBuffer values = PoisonBuffer.EndingAtGuard(layout.Columns * 4);
            IntBlockRow.Decode(codes.GetSpan(), scales.GetSpan(), zeroPoints.GetSpan(), layout, values.As<float>(), tier);
            return values.As<float>().ToArray();
        }

        public bool Equals(Row? other) =>
            other is not null && Codes.AsSpan().SequenceEqual(other.Codes) && Scales.AsSpan().SequenceEqual(other.Scales) && ZeroPoints.AsSpan().SequenceEqual(other.ZeroPoints);

        public override int GetHashCode() => Codes.Length;
    }
}
