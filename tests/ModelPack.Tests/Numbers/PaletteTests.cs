using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ModelPack.Numbers;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Palettes: optimal where that can be checked, exact where that is possible, better than fixed tables, and always the same bytes.</summary>
[Trait("Category", "Simd")]
public sealed class PaletteTests
{
    /// <summary>All ways to cut n sorted values into k ranges.</summary>
    [Theory]
    [InlineData(5, 1)]
    [InlineData(9, 1)]
    [InlineData(12, 2)]
    [InlineData(14, 2)]
    [InlineData(13, 3)]
    public void Palette_is_optimal_by_brute_force(int count, int bits)
    {
        for (ulong seed = 0; seed < 60; seed++)
        {
            float[] values = seed % 3 == 0 ? Small(seed, count) : Values.Weights(seed, count);
            float[] palette = Choose(values, bits);
            double found = SquaredError(values, Decode($"palette(bits={bits})", values, 1));
            double best = BruteForce([.. values.Order().Select(v => (double)v)], 1 << bits);

            // The entries are rounded to f32.
            Assert.True(found <= best + (1e-6 * (best + 1e-6)), $"seed {seed}: {found} with {string.Join(' ', palette)} instead of {best}");
        }
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(2, 3)]
    [InlineData(4, 16)]
    [InlineData(5, 20)]
    [InlineData(7, 128)]
    [InlineData(8, 256)]
    public void Few_distinct_values_are_stored_bit_for_bit(int bits, int distinct)
    {
        float[] some = [-0f, 0f, .. Values.Weights((ulong)bits, distinct).Select((v, i) => i % 5 == 1 ? v * 1e-38f : v * MathF.ScaleB(1, (i * 37 % 120) - 60))];
        var random = new SplitMix(5);
        foreach (int rows in new[] { 4, 400 })
        {
            // 400 x 500 goes through bins, 4 x 500 is sorted.
            float[] values = [.. Enumerable.Range(0, rows * 500).Select(i => some[i < distinct ? i : random.Below(distinct)])];
            foreach (string group in new[] { "tensor", "row", "4" })
            {
                float[] back = Decode($"palette(bits={bits},group={group})", values, rows);
                Assert.True(MemoryMarshal.AsBytes<float>(values).SequenceEqual(MemoryMarshal.AsBytes<float>(back)), $"{distinct} values, {rows} rows, group={group}");
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Palette_of_4_bits_beats_nf4_and_int4_of_the_same_scope(bool laplace)
    {
        const int rows = 64;
        const int columns = 4096;
        float[] values = GaussianError.Sample(rows * columns);
        if (laplace)
        {
            var random = new SplitMix(9);
            for (int i = 0; i < values.Length; i++)
            {
                double u = (((random.Next() >> 11) + 0.5) / (1L << 53)) - 0.5;
                values[i] = (float)(-Math.Sign(u) * Math.Log(1 - (2 * Math.Abs(u)) + 1e-12) / Math.Sqrt(2));
            }
        }

        double palette = SquaredError(values, Decode("palette", values, rows));
        double perRow = SquaredError(values, Decode("palette(group=row)", values, rows));
        Assert.True(perRow < palette, $"{perRow} {palette}");
        foreach (string other in new[] { "nf4(block=4096)", "int4(block=row,search=mse)", "int4(block=row,search=mse,symmetric=false)" })
        {
            double error = SquaredError(values, Decode(other, values, rows));
            Assert.True(palette <= error && perRow <= error, $"{other}: {error / values.Length}, palette {palette / values.Length}, per row {perRow / values.Length}");
        }

        // The optimal 16-level quantiser of the normal distribution has a mean squared error of 0.009497 (Max, 1960; Lloyd, 1982).
        if (!laplace)
        {
            Assert.InRange(palette / values.Length, 0.00930, 0.00955);
        }
    }

    [Fact]
    public void Palettes_of_all_widths_are_near_the_known_optimum_of_the_normal_distribution()
    {
        // Mean squared errors of Lloyd-Max quantisers with 2^b levels on N(0,1).
        double[] known = [0.3634, 0.1175, 0.03454, 0.009497, 0.002499, 0.0006442, 0.0001635, 0.00004117];
        float[] values = GaussianError.Sample(1 << 20);
        for (int bits = 1; bits <= 8; bits++)
        {
            double error = SquaredError(values, Decode($"palette(bits={bits})", values, 256)) / values.Length;
            Assert.InRange(error / known[bits - 1], 0.97, 1.01);
        }
    }

    /// <summary>Rows of several shapes: what is found quickly against the optimum (4 bits), or against the long search (8 bits).</summary>
    [Theory]
    [InlineData("normal", 4, 1.005)]
    [InlineData("laplace", 4, 1.005)]
    [InlineData("outliers", 4, 1.001)]
    [InlineData("two humps", 4, 1.01)]
    [InlineData("even", 4, 1.003)]
    [InlineData("normal", 2, 1.001)]
    [InlineData("laplace", 5, 1.01)]
    [InlineData("normal", 6, 1.05)]
    [InlineData("normal", 8, 1.12)]
    [InlineData("laplace", 8, 1.12)]
    [InlineData("outliers", 8, 1.6)]
    [InlineData("two humps", 8, 1.12)]
    public void Palettes_of_rows_are_near_the_optimum(string kind, int bits, double most)
    {
        for (ulong seed = 1; seed <= 4; seed++)
        {
            float[] values = Row(kind, seed, 4096);
            double found = SquaredError(values, Decode($"palette(bits={bits},group=row)", values, 1));
            double[] sorted = [.. values.Select(v => (double)v).Distinct().Order()];
            double[] weights = [.. Enumerable.Repeat(1.0, sorted.Length)];
            double[] centres = new double[1 << bits];
            Clusters.Solve(sorted, weights, bits <= 5 ? new ClusterEffort(4096, 0, 0, 0) : ClusterEffort.Tensor, centres);
            double best = sorted.Sum(v => centres.Min(c => (v - c) * (v - c)));
            Assert.InRange(found / best, 0.9, most);
        }
    }

    [Fact]
    public void Palettes_of_rows_do_not_depend_on_the_order_of_values()
    {
        float[] values = Row("normal", 5, 4096);
        float[] reversed = [.. values.Reverse()];
        foreach (int bits in new[] { 3, 8 })
        {
            float[] forwards = Decode($"palette(bits={bits},group=row)", values, 1);
            Assert.Equal(forwards.Reverse(), Decode($"palette(bits={bits},group=row)", reversed, 1));
        }
    }

    [Fact]
    public void Palette_does_not_depend_on_order_or_tiles()
    {
        float[] values = Values.Weights(4, 300_000);
        string palette = Complete("palette(bits=5)", values, 300).Text("palette", "");
        Assert.Equal(palette, Complete("palette(bits=5)", values, 3).Text("palette", ""));
        float[] reversed = [.. values.Reverse()];
        Assert.Equal(palette, Complete("palette(bits=5)", reversed, 300).Text("palette", ""));
    }

    /// <summary>Bytes as the first version wrote them (a group of 5,000 values: the second); see SPEC.md for what is specified and what is this encoder's choice.</summary>
    [Theory]
    [InlineData("palette(bits=1)", 40, 100, "136639604b485d41")]
    [InlineData("palette(bits=3,group=row)", 10, 100, "bba9940b8c1ee8dd")]
    [InlineData("palette", 10, 100, "8522083fdb59cd3b")]
    [InlineData("palette(bits=4,group=5,entries=f16)", 10, 1000, "c907e1eacf978c65")]
    [InlineData("palette(bits=6,entries=bf16)", 400, 500, "80bbb8bcfb4b9173")]
    [InlineData("palette(bits=8)", 400, 500, "3eee8221dcafeb21")]
    public void Bytes_are_pinned(string spec, int rows, int columns, string expected)
    {
        float[] values = Values.Weights(77, rows * columns);
        UnitSpec full = Complete(spec, values, rows);
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("palette")).Bind(full, new Shape(rows, columns), tier);
            byte[][] streams = Encode(bound, values);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            hash.AppendData(System.Text.Encoding.ASCII.GetBytes(bound.Spec.ToString()));
            foreach (byte[] stream in streams)
            {
                hash.AppendData(stream);
            }

            Assert.Equal(expected, Convert.ToHexStringLower(hash.GetHashAndReset())[..16]);
        }
    }

    [Fact]
    public void Layout_is_as_specified()
    {
        UnitSpec spec = UnitSpec.Parse("palette(bits=3,palette=bf800000bf000000be800000000000003e8000003f0000003f8000003fc00000)");
        IBoundNumberFormat bound = NumberFormats.Bind(spec, new Shape(1, 9));
        float[] values = [-2, -0.75f, -0.74f, 0.1f, 0.375f, 0.376f, 2, -0f, 1.25f];
        byte[] codes = new byte[4];
        bound.EncodeRows(values, 1, [codes]);

        // -2 -> 0; the midpoint -0.75 -> 0; -0.74 -> 1; 0.1 -> 3; the midpoint 0.375 -> 4; 0.376 -> 5; 2 -> 7; -0 -> 3; the midpoint 1.25 -> 6.
        int[] expected = [0, 0, 1, 3, 4, 5, 7, 3, 6];
        uint packed = 0;
        for (int i = 0; i < 9; i++)
        {
            packed |= (uint)expected[i] << (3 * i);
        }

        Assert.Equal(packed, BinaryPrimitives.ReadUInt32LittleEndian(codes));
        float[] back = new float[9];
        bound.DecodeRows([codes], 1, back);
        Assert.Equal([-1, -1, -0.5f, 0, 0.25f, 0.5f, 1.5f, 0, 1], back);
    }

    [Theory]
    [InlineData(12, "4", "4", 3, 40)]
    [InlineData(12, "5", "4", 3, 40)]
    [InlineData(13, "4", "row", 13, 10)]
    [InlineData(3, "100", "3", 1, 30)]
    [InlineData(12, "1", "row", 12, 10)]
    [InlineData(12, "tensor", "tensor", 12, 10)]
    public void Groups_are_the_largest_even_division_of_the_rows(int rows, string asked, string effective, int codedRows, int codedColumns)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse($"palette(group={asked})"), new Shape(rows, 10));

        Assert.Equal(effective, bound.Spec.Text("group", ""));
        Assert.Equal(new Shape(codedRows, codedColumns), bound.Shape);
    }

    [Theory]
    [InlineData("palette(bits=0)")]
    [InlineData("palette(bits=9)")]
    [InlineData("palette(group=0)")]
    [InlineData("palette(group=4097)")]
    [InlineData("palette(group=rows)")]
    [InlineData("palette(entries=f64)")]
    [InlineData("palette(bits=1,palette=00000000)")]
    [InlineData("palette(bits=1,palette=0000000080000000)")]
    [InlineData("palette(bits=1,palette=000000007f800000)")]
    [InlineData("palette(bits=1,palette=000000003F800000)")]
    [InlineData("palette(bits=1,group=row,palette=000000003f800000)")]
    [InlineData("palette(bits=1,entries=f16,palette=000000003f800000)")]
    public void Wrong_arguments_areMP1022(string spec) =>
        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(4, 16))).Code);

    [Fact]
    public void Missing_and_damaged_palettes_are_errors()
    {
        IBoundNumberFormat incomplete = NumberFormats.Bind(UnitSpec.Parse("palette"), new Shape(1, 2));
        Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => incomplete.EncodeRows([1, 2], 1, [new byte[1]])).Code);
        Assert.Equal(ErrorCodes.BadStream, Assert.Throws<ModelPackException>(() => incomplete.DecodeRows([new byte[1]], 1, new float[2])).Code);
        IBoundNumberFormat perRow = NumberFormats.Bind(UnitSpec.Parse("palette(bits=1,group=row)"), new Shape(1, 8));
        byte[] palette = new byte[8];
        BinaryPrimitives.WriteSingleLittleEndian(palette.AsSpan(4), float.NaN);
        Assert.Equal(ErrorCodes.BadStream, Assert.Throws<ModelPackException>(() => perRow.DecodeRows([new byte[1], palette], 1, new float[8])).Code);
    }

    [Fact]
    public void Entries_of_16_bits_are_clamped_to_their_range()
    {
        float[] values = [1e30f, 1e30f, -1e30f, 3f];
        Assert.Equal([65504, 65504, -65504, 3], Decode("palette(bits=2,entries=f16)", values, 1));
        float[] huge = [float.MaxValue, 1, -float.MaxValue, 2];
        Assert.All(Decode("palette(bits=2,entries=bf16)", huge, 1), v => Assert.True(float.IsFinite(v)));
    }

    [Fact]
    public void Empty_tensors_have_a_palette()
    {
        UnitSpec spec = NumberFormats.Complete(UnitSpec.Parse("palette(bits=1)"), new RawValueReader(DType.F32, new Shape(0, 7), TensorData.Empty));
        Assert.Equal("0000000000000000", spec.Text("palette", ""));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(511)]
    [InlineData(512)]
    [InlineData(5000)]
    public void RadixSort_sorts(int count)
    {
        var random = new SplitMix((ulong)count);
        int[] keys = new int[count];
        random.Fill(MemoryMarshal.AsBytes(keys.AsSpan()));
        int[] expected = [.. keys.Order()];
        RadixSort.Sort(keys);
        Assert.Equal(expected, keys);
    }

    private static float[] Row(string kind, ulong seed, int count)
    {
        float[] normal = GaussianError.Sample(count * (int)seed, 0.02f)[^count..];
        var random = new SplitMix(seed);
        return kind switch
        {
            "laplace" => [.. normal.Select(v => v * MathF.Sqrt(-2 * MathF.Log((random.Below(1 << 20) + 1) / (float)(1 << 20))))],
            "outliers" => [.. normal.Select((v, i) => i % 500 == 7 ? v * 40 : v)],
            "two humps" => [.. normal.Select((v, i) => i % 3 == 0 ? v + 0.2f : v)],
            "even" => [.. normal.Select(_ => (float)random.Between(-1_000_000, 1_000_000) * 1e-6f)],
            _ => normal,
        };
    }

    private static float[] Small(ulong seed, int count)
    {
        var random = new SplitMix(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)random.Between(-6, 6))];
    }

    private static double BruteForce(double[] sorted, int k)
    {
        double Spread(int from, int to)
        {
            double mean = sorted.AsSpan(from, to - from).ToArray().Average();
            return sorted.AsSpan(from, to - from).ToArray().Sum(v => (v - mean) * (v - mean));
        }

        double Best(int from, int left) => left == 1
            ? Spread(from, sorted.Length)
            : Enumerable.Range(from + 1, sorted.Length - left - from + 1).Min(to => Spread(from, to) + Best(to, left - 1));
        return Best(0, Math.Min(k, sorted.Length));
    }

    private static float[] Choose(float[] values, int bits)
    {
        using var chooser = new PaletteChooser(bits, values.Length, ClusterEffort.Group(bits, crowded: true));
        chooser.Add(values);
        float[] palette = new float[1 << bits];
        chooser.Choose(palette);
        return palette;
    }

    private static UnitSpec Complete(string spec, float[] values, int rows) =>
        NumberFormats.Complete(UnitSpec.Parse(spec), new RawValueReader(DType.F32, new Shape(rows, values.Length / rows), TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray())));

    private static byte[][] Encode(IBoundNumberFormat bound, float[] values)
    {
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * bound.Shape.Rows])];
        bound.EncodeRows(values, (int)bound.Shape.Rows, [.. streams.Select(s => new Memory<byte>(s))]);
        return streams;
    }

    private static float[] Decode(string spec, float[] values, int rows)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(Complete(spec, values, rows), new Shape(rows, values.Length / rows));
        float[] back = new float[values.Length];
        bound.DecodeRows([.. Encode(bound, values).Select(s => new ReadOnlyMemory<byte>(s))], (int)bound.Shape.Rows, back);
        return back;
    }

    private static double SquaredError(float[] a, float[] b) => a.Zip(b).Sum(p => ((double)p.First - p.Second) * ((double)p.First - p.Second));
}
