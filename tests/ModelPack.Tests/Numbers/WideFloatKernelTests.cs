using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Vector tiers against the reference on every length around the 16-value groups, on buffers that end at an unmapped page.</summary>
public sealed class WideFloatKernelTests
{
    private const int MaxLength = 33;

    [Fact]
    public void Narrow_and_widen_everyLength_everyTier_equalReference()
    {
        for (int length = 0; length <= MaxLength; length++)
        {
            float[] input = Values.AnyBits((ulong)length + 1, length);
            foreach (SimdTier tier in SimdTiers.Supported)
            {
                Check(input, tier, WideFloatKernels.NarrowBf16, WideFloatKernels.WidenBf16);
                Check(input, tier, WideFloatKernels.NarrowHalf, WideFloatKernels.WidenHalf);
            }
        }
    }

    [Fact]
    public void EncodeBytes_everyLength_everyFormat_everyTier_equalsReference()
    {
        foreach (string name in SmallFloatGoldenTests.Formats())
        {
            SmallFloatFormat format = SmallFloatGoldenTests.Format(name);
            for (int length = 0; length <= MaxLength; length++)
            {
                float[] input = [.. Values.AnyBits((ulong)length + 1, length).Select(v => float.IsNaN(v) && format.NanCode < 0 ? 1f : v)];
                byte[] expected = [.. input.Select(v => (byte)SmallFloatReference.Encode(v, format))];
                foreach (SimdTier tier in SimdTiers.Supported)
                {
                    using PoisonBuffer source = PoisonBuffer.Copy<float>(input);
                    using PoisonBuffer codes = PoisonBuffer.EndingAtGuard(length);
                    WideFloatKernels.EncodeBytes(source.As<float>(), format, codes.GetSpan(), tier);
                    Assert.True(codes.GetSpan().SequenceEqual(expected), $"{name}, {length} values on {tier}");
                }
            }
        }
    }

    [Fact]
    public void Choose_neverExceedsWhatWasAskedOrWhatThereIs()
    {
        SimdTier widest = SimdTiers.Supported[^1];
        (string? Forced, SimdTier Asked)[] cases =
        [
            ("scalar", SimdTier.Scalar),
            ("128", SimdTier.Vector128),
            ("256", SimdTier.Vector256),
            ("512", SimdTier.Vector512),
            (null, SimdTier.Vector512),
        ];

        Assert.All(cases, c => Assert.Equal(c.Asked < widest ? c.Asked : widest, SimdTiers.Choose(c.Forced)));
        Assert.Equal(SimdTier.Scalar, SimdTiers.Supported[0]);
    }

    private static void Check(float[] input, SimdTier tier, Narrow narrow, Widen widen)
    {
        ushort[] expected = new ushort[input.Length];
        narrow(input, expected, SimdTier.Scalar);
        float[] expectedBack = new float[input.Length];
        widen(expected, expectedBack, SimdTier.Scalar);

        using PoisonBuffer source = PoisonBuffer.Copy<float>(input);
        using PoisonBuffer codes = PoisonBuffer.EndingAtGuard(input.Length * 2);
        using PoisonBuffer back = PoisonBuffer.EndingAtGuard(input.Length * 4);
        narrow(source.As<float>(), codes.As<ushort>(), tier);
        widen(codes.As<ushort>(), back.As<float>(), tier);
        Assert.True(codes.As<ushort>().SequenceEqual(expected), $"{input.Length} values on {tier}: {narrow.Method.Name}");
        Assert.True(
            back.As<int>().SequenceEqual(System.Runtime.InteropServices.MemoryMarshal.Cast<float, int>(expectedBack)),
            $"{input.Length} values on {tier}: {widen.Method.Name}");
    }

    private delegate void Narrow(ReadOnlySpan<float> values, Span<ushort> codes, SimdTier tier);

    private delegate void Widen(ReadOnlySpan<ushort> codes, Span<float> values, SimdTier tier);
}
