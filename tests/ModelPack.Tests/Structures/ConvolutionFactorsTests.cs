using ModelPack.Pack;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Structures;

/// <summary>tucker2, cp and sum against plain loops, and what is wrong with them.</summary>
[Trait("Category", "Simd")]
public sealed class ConvolutionFactorsTests
{
    [Fact]
    public void Tucker_is_the_contraction_of_its_factors()
    {
        StructuredEncoding made = FactoredSamples.Make("tucker2(inputs=3,outputs=7)", [[24, 7], [7, 27], [3, 4]]);
        (float[] b, float[] c, float[] a) = (Read(made.Components[0]), Read(made.Components[1]), Read(made.Components[2]));
        Check(made, (o, i, k) => Enumerable.Range(0, 3).Sum(p => Enumerable.Range(0, 7).Sum(q => (double)b[(o * 7) + q] * c[(q * 27) + (p * 9) + k]) * a[(p * 4) + i]));
    }

    [Fact]
    public void Cp_is_the_sum_of_its_products()
    {
        StructuredEncoding made = FactoredSamples.Make("cp(rank=6)", [[24, 6], [6, 9], [6, 4]]);
        (float[] b, float[] s, float[] a) = (Read(made.Components[0]), Read(made.Components[1]), Read(made.Components[2]));
        Check(made, (o, i, k) => Enumerable.Range(0, 6).Sum(p => (double)b[(o * 6) + p] * s[(p * 9) + k] * a[(p * 4) + i]));
    }

    [Fact]
    public void Sum_adds_its_components_bit_for_bit_in_any_tiles()
    {
        StructuredEncoding made = FactoredSamples.Make("sum", [[24, 36], [24, 36], [24, 36]]);
        float[][] parts = [.. made.Components.Select(Read)];
        float[] expected = [.. Enumerable.Range(0, 24 * 36).Select(i => parts[0][i] + parts[1][i] + parts[2][i])];
        Assert.Equal(expected, Read(made));
        IValueReader reader = EncodingValues.Open(made);
        float[] part = new float[3 * 36];
        reader.ReadRows(20, 3, part);
        Assert.Equal(expected[(20 * 36)..(23 * 36)], part);
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadRows(22, 3, part));
    }

    [Theory]
    [InlineData("tucker2", "24x7;7x27;3x4", 1022)]
    [InlineData("tucker2(inputs=3)", "24x7;7x27;3x4", 1022)]
    [InlineData("tucker2(inputs=5,outputs=7)", "24x7;7x45;5x4", 1022)]
    [InlineData("tucker2(inputs=3,outputs=25)", "24x25;25x27;3x4", 1022)]
    [InlineData("tucker2(inputs=3,outputs=7,rank=1)", "24x7;7x27;3x4", 1022)]
    [InlineData("tucker2(inputs=3,outputs=7)", "24x7;7x27;3x5", 1020)]
    [InlineData("tucker2(inputs=3,outputs=7)", "24x7;7x26;3x4", 1020)]
    [InlineData("tucker2(inputs=3,outputs=7)", "24x7;7x27", 1020)]
    [InlineData("tucker2(inputs=67108864,outputs=7)", "24x7;7x27;3x4", 1022)]
    [InlineData("cp", "24x6;6x9;6x4", 1022)]
    [InlineData("cp(rank=6)", "24x6;6x9;6x0", 1020)]
    [InlineData("cp(rank=7)", "24x6;6x9;6x4", 1020)]
    [InlineData("cp(rank=67108864)", "24x6;6x9;6x4", 1022)]
    [InlineData("sum", "24x36", 1020)]
    [InlineData("sum", "24x36;36x24", 1020)]
    [InlineData("sum(rank=1)", "24x36;24x36", 1022)]
    [InlineData("sum", "24x36;24x36;24x36;24x36;24x36;24x36;24x36;24x36;24x36", 1020)]
    public void Validate_wrong_encoding_is_refused(string spec, string components, int code)
    {
        StructuredEncoding encoding = Empty(spec, [.. components.Split(';').Select(c => new Shape([.. c.Split('x').Select(long.Parse)]))]);
        Assert.Equal(code, Assert.Throws<ModelPackException>(() => ModelPack.Structures.Structures.Get(encoding.Structure.Id).Validate(encoding)).Code.Number);
    }

    /// <summary>Arguments and shapes changed at random: refused with an error of ours, or as good as any other.</summary>
    [Fact]
    public void Validate_ten_thousand_changed_encodings_are_refused_or_read()
    {
        var random = new SplitMix(7);
        int refused = 0;
        for (int round = 0; round < 10_000; round++)
        {
            (string spec, int[][] components) = FactoredSamples.All[random.Below(FactoredSamples.All.Length)];
            int[][] changed = [.. components.Select(c => c.ToArray())];
            int[] part = changed[random.Below(changed.Length)];
            if (random.Below(2) == 0)
            {
                part[random.Below(2)] = Math.Max(0, part[random.Below(2)] + random.Below(7) - 3);
            }
            else
            {
                char[] text = spec.ToCharArray();
                int[] digits = [.. Enumerable.Range(0, text.Length).Where(i => char.IsAsciiDigit(text[i]) && i > 0 && text[i - 1] != 'r')];
                if (digits.Length > 0)
                {
                    text[digits[random.Below(digits.Length)]] = "0123456789x-"[random.Below(12)];
                }

                spec = new string(text);
            }

            try
            {
                Read(FactoredSamples.Make(spec, changed));
            }
            catch (ModelPackException e)
            {
                Assert.True(e.Code.Number is >= 1020 and <= 1024, $"round {round}, {spec}: {e.Message}");
                refused++;
            }
        }

        Assert.InRange(refused, 5_000, 9_900);
    }

    private static void Check(StructuredEncoding made, Func<int, int, int, double> element)
    {
        float[] values = Read(made);
        for (int o = 0; o < 24; o++)
        {
            for (int i = 0; i < 36; i++)
            {
                double expected = element(o, i / 9, i % 9);
                Assert.InRange(values[(o * 36) + i], expected - 1e-5, expected + 1e-5);
            }
        }

        IValueReader reader = EncodingValues.Open(made);
        float[] part = new float[3 * 36];
        reader.ReadRows(20, 3, part);
        Assert.Equal(values[(20 * 36)..(23 * 36)], part);
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadRows(22, 3, part));
    }

    private static float[] Read(WeightEncoding encoding)
    {
        float[] values = new float[encoding.Shape.ElementCount];
        EncodingValues.Open(encoding).ReadRows(0, (int)encoding.Shape.Rows, values);
        return values;
    }

    private static StructuredEncoding Empty(string spec, Shape[] components) =>
        new(UnitSpec.Parse(spec), new Shape(24, 36), [.. components.Select(c => DenseEncoding.Raw(DType.F32, c, TensorData.FromBytes(Array.Empty<byte>())))]);
}
