using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>What every format must do that lets codes be chosen one by one on fixed scales.</summary>
public sealed class FixedScaleTests
{
    private static readonly Shape[] Shapes = [new(7), new(4, 16), new(5, 37), new(2, 3, 64), new(9, 1), new(2, 200)];

    public static TheoryData<string> Specs()
    {
        var data = new TheoryData<string>();
        foreach (string spec in Enumerable.Select<object[], string>(NumberFormatContractTests.Specs(), row => (string)row[0]))
        {
            if (NumberFormatContractTests.Bind(spec, new Shape(4, 256)) is IFixedScaleFormat { BlockColumns: > 0 })
            {
                data.Add(spec);
            }
        }

        return data;
    }

    [Fact]
    public void Formats_forPostTrainingQuantization_haveFixedScales()
    {
        string[] expected = ["int2", "int4", "int8", "mxfp4", "mxfp6", "mxfp8", "mxint8", "nvfp4", "nf4", "fp4", "dyn8", "fp8", "fp8(scope=tensor)", "float", "int4(layout=planes)"];

        Assert.All(expected, spec => Assert.True(NumberFormatContractTests.Bind(spec, new Shape(4, 256)) is IFixedScaleFormat { BlockColumns: > 0 }, spec));
        Assert.Equal(0, Assert.IsType<IFixedScaleFormat>(NumberFormatContractTests.Bind("nf4(nested=true)", new Shape(4, 256)), exactMatch: false).BlockColumns);
        Assert.Equal(0, Assert.IsType<IFixedScaleFormat>(NumberFormatContractTests.Bind("fp8(scope=tile)", new Shape(256, 256)), exactMatch: false).BlockColumns);
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Round_ofTheEncodersValues_givesItsCodesAndValues(string spec)
    {
        foreach (Shape shape in Shapes)
        {
            var format = (IFixedScaleFormat)NumberFormatContractTests.Bind(spec, shape);
            float[] values = NumberFormatContractTests.Input(format, 31);
            byte[][] streams = NumberFormatContractTests.Encode(format, values, int.MaxValue);
            float[] decoded = NumberFormatContractTests.Decode(format, streams, int.MaxValue);
            (float[] scales, float[] zeros) = PerValue(format, streams);
            byte[] codes = new byte[values.Length];
            float[] rounded = new float[values.Length];

            format.Round(values, scales, zeros, codes, rounded);

            // The product of two scales (nvfp4) is not exact in f32; all others are decoded by the same operations.
            Assert.All(Enumerable.Range(0, values.Length), i => Assert.Equal(decoded[i], rounded[i], MathF.Abs(decoded[i]) * (spec.StartsWith("nvfp4", StringComparison.Ordinal) ? 2e-7f : 0f)));
            byte[][] again = [.. streams.Select(s => (byte[])s.Clone())];
            again[0].AsSpan().Fill(0xCC);
            format.WriteCodes(codes, (int)format.Shape.Rows, [.. again.Select(s => (Memory<byte>)s)]);
            Assert.Equal(streams[0], again[0]);
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void WriteScales_ofWhatWasRead_changesNothing(string spec)
    {
        foreach (Shape shape in Shapes)
        {
            var format = (IFixedScaleFormat)NumberFormatContractTests.Bind(spec, shape);
            byte[][] streams = NumberFormatContractTests.Encode(format, NumberFormatContractTests.Input(format, 32), int.MaxValue);
            (float[] scales, float[] zeros) = Read(format, streams);
            byte[][] again = [.. streams.Select(s => (byte[])s.Clone())];
            foreach (byte[] stream in again[1..])
            {
                stream.AsSpan().Fill(0xCC);
            }

            format.WriteScales(scales, zeros, (int)format.Shape.Rows, [.. again.Select(s => (Memory<byte>)s)]);

            Assert.Equal(streams[1..], again[1..]);
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void ScaleFactors_startWithOne_and_giveScalesThatCanBeStored(string spec)
    {
        var format = (IFixedScaleFormat)NumberFormatContractTests.Bind(spec, new Shape(2, 200));
        byte[][] streams = NumberFormatContractTests.Encode(format, NumberFormatContractTests.Input(format, 33), int.MaxValue);
        (float[] scales, float[] zeros) = Read(format, streams);
        Memory<byte>[] memory = [.. streams.Select(s => (Memory<byte>)s)];
        float[] factors = format.ScaleFactors.ToArray();

        // The tensor's largest block has the largest scale that nvfp4 can store already.
        bool saturates = spec == "nvfp4";

        Assert.Equal(1f, factors[0]);
        Assert.Equal(factors.Length, factors.Distinct().Count());
        foreach (float factor in factors.Where(f => f <= 1 || !saturates))
        {
            format.WriteScales([.. scales.Select(s => s * factor)], zeros, 2, memory);
            (float[] written, _) = Read(format, streams);
            Assert.All(Enumerable.Range(0, scales.Length), i => Assert.Equal(scales[i] * factor, written[i], MathF.Abs(scales[i]) * (streams.Length > 1 ? 0.07f : 0f)));
            _ = NumberFormatContractTests.Decode(format, streams, int.MaxValue);
        }
    }

    [Theory]
    [InlineData("int2(symmetric=false)")]
    [InlineData("int8")]
    [InlineData("int4(block=48,symmetric=false,zeros=float)")]
    public void Round_everyTier_equalsTheReference(string spec)
    {
        UnitSpec parsed = UnitSpec.Parse(spec);
        var format = (ITieredFormat)NumberFormats.Get(parsed.Id);
        foreach (int length in Enumerable.Range(0, 40))
        {
            float[] values = Values.Weights((ulong)length, length);
            float[] scales = [.. Values.Weights((ulong)length + 100, length).Select(v => MathF.Abs(v) + 0.001f)];
            float[] zeros = [.. Enumerable.Range(0, length).Select(i => parsed.Text("zeros", "") == "float" ? 0.37f * i : i % 4)];
            (byte[] codes, float[] rounded) expected = Run(SimdTier.Scalar);
            foreach (SimdTier tier in SimdTiers.Supported)
            {
                (byte[] codes, float[] rounded) = Run(tier);
                Assert.Equal(expected.codes, codes);
                Assert.Equal(expected.rounded, rounded);
            }

            (byte[] Codes, float[] Rounded) Run(SimdTier tier)
            {
                byte[] codes = new byte[length];
                float[] rounded = new float[length];
                ((IFixedScaleFormat)format.Bind(parsed, new Shape(1, 64), tier)).Round(values, scales, zeros, codes, rounded);
                return (codes, rounded);
            }
        }
    }

    [Fact]
    public void Nearest_equalsEncode_forEveryElement()
    {
        ElementFormat[] elements =
        [
            ElementFormat.E4M3, ElementFormat.E5M2, ElementFormat.E3M2, ElementFormat.E2M3, ElementFormat.E2M1, ElementFormat.Int8,
            ElementFormat.Float(2, 2, signed: true, 1, FloatSpecials.Fnuz), ElementFormat.Float(0, 3, signed: false, 1, FloatSpecials.None),
        ];
        foreach (ElementFormat element in elements)
        {
            double[] finite = [.. element.Values.Where(float.IsFinite).Select(v => (double)v).Distinct().Order()];
            IEnumerable<double> ties = finite.Zip(finite.Skip(1), (a, b) => (a + b) / 2);
            foreach (double value in finite.Concat(ties).SelectMany(v => new[] { v, Math.BitIncrement(v), Math.BitDecrement(v), v * 1.1 }).Where(v => element.Signed || v >= 0))
            {
                Assert.Equal(element.Encode(value), element.Nearest(value));
            }
        }
    }

    private static (float[] Scales, float[] Zeros) Read(IFixedScaleFormat format, byte[][] streams)
    {
        int rows = (int)format.Shape.Rows;
        int blocks = ((int)format.Shape.Columns + format.BlockColumns - 1) / format.BlockColumns;
        float[] scales = new float[rows * blocks];
        float[] zeros = new float[rows * blocks];
        format.ReadScales([.. streams.Select(s => (ReadOnlyMemory<byte>)s)], rows, scales, zeros);
        return (scales, zeros);
    }

    private static (float[] Scales, float[] Zeros) PerValue(IFixedScaleFormat format, byte[][] streams)
    {
        (float[] scales, float[] zeros) = Read(format, streams);
        int columns = (int)format.Shape.Columns;
        int blocks = (columns + format.BlockColumns - 1) / format.BlockColumns;
        int[] blockOf = [.. Enumerable.Range(0, (int)format.Shape.ElementCount).Select(i => (i / columns * blocks) + (i % columns / format.BlockColumns))];
        return ([.. blockOf.Select(b => scales[b])], [.. blockOf.Select(b => zeros[b])]);
    }
}
