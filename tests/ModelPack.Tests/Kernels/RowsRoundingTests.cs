using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Activations of several rows, rounded together, against each row by itself.</summary>
[Trait("Category", "Simd")]
public sealed unsafe class RowsRoundingTests
{
    [Theory]
    [InlineData("int4", 96)]
    [InlineData("int4", 250)]
    [InlineData("int4", 1)]
    [InlineData("int4(block=128)", 300)]
    [InlineData("nvfp4", 72)]
    [InlineData("int3(block=16,symmetric=false)", 100)]
    [InlineData("int5(block=48)", 130)]
    [InlineData("ternary", 777)]
    public void Several_rows_are_rounded_as_each_by_itself(string format, int columns)
    {
        if (!Avx512BW.IsSupported || KernelTiers.Current != KernelTier.Avx512)
        {
            return;
        }

        using MatMulWeight weight = MatMulWeight.TryCreate(ModelPack.Numbers.NumberFormats.Bind(UnitSpec.Parse(format), new Shape(16, columns)).Spec, 16, columns)!;
        foreach (int rows in new[] { 2, 3, 7, 8, 9, 20, 128 })
        {
            Check(weight, rows, Activations(rows, columns));
        }
    }

    /// <summary>Ordinary numbers, rows of zeros, of numbers too small to be scaled, with infinities and NaN, and halves that are rounded to even.</summary>
    private static float[] Activations(int rows, int columns)
    {
        float[] x = ModelPack.Testing.Values.Weights(5, rows * columns);
        for (int r = 0; r < rows; r++)
        {
            Span<float> row = x.AsSpan(r * columns, columns);
            switch (r % 7)
            {
                case 1:
                    row.Clear();
                    break;
                case 2:
                    row.Fill(1e-42f);
                    break;
                case 3:
                    row[columns / 2] = float.PositiveInfinity;
                    break;
                case 4:
                    row[columns - 1] = float.NaN;
                    break;
                case 5:
                    for (int i = 0; i < columns; i++)
                    {
                        row[i] = i % 128 == 0 ? -127 : (i % 32) - 15.5f;
                    }

                    break;
            }
        }

        return x;
    }

    private static void Check(MatMulWeight weight, int rows, float[] x)
    {
        TileLayout layout = weight.Layout;
        int zero = layout.HasZeros ? 0 : weight.Tile.ByteZero;
        int sumFactor = layout.HasZeros ? -1 : -zero;
        int block = layout.BlockUnits * layout.UnitColumns;
        sbyte[] codes = new sbyte[layout.PaddedColumns];
        float[] scales = new float[layout.Blocks];
        int[] sums = new int[layout.Blocks];
        using PoisonBuffer memory = PoisonBuffer.EndingAtGuard((int)PackedActivations.Bytes(rows, layout));
        memory.GetSpan().Fill(0xEE);
        fixed (byte* scratch = memory.GetSpan())
        fixed (float* from = x)
        fixed (sbyte* codesAt = codes)
        fixed (float* scalesAt = scales)
        fixed (int* sumsAt = sums)
        {
            PackedActivations.Round(from, rows, layout, zero, scratch);
            PackedActivations packed = PackedActivations.At(rows, layout, scratch);
            for (int r = 0; r < packed.Batches * packed.BatchRows; r++)
            {
                codes.AsSpan().Clear();
                scales.AsSpan().Clear();
                sums.AsSpan().Clear();
                if (r < rows)
                {
                    RowRounding.Run(from + ((long)r * layout.Columns), layout.Columns, block, codesAt, scalesAt, sumsAt);
                }

                for (int b = 0; b < layout.Blocks; b++)
                {
                    byte* at = packed.Block(r / packed.BatchRows, b);
                    int place = r % packed.BatchRows;
                    float scale = ((float*)at)[place];
                    Assert.True(scales[b].Equals(scale) || (!float.IsFinite(scales[b]) && float.IsNaN(scale)));
                    int* groups = (int*)(at + PackedActivations.HeaderBytes(packed.BatchRows));
                    Span<int> expected = MemoryMarshal.Cast<sbyte, int>(codes.AsSpan(b * block, Math.Min(block, layout.PaddedColumns - (b * block))));

                    // A scale that is no number makes NaN of whatever its codes are.
                    for (int g = 0; !float.IsNaN(scale) && r < rows && g < expected.Length; g++)
                    {
                        Assert.Equal(expected[g], groups[(g * packed.BatchRows) + place]);
                    }

                    if (!float.IsNaN(scale) && r < rows)
                    {
                        Assert.Equal(sums[b] * sumFactor, ((int*)at)[packed.BatchRows + place]);
                    }
                }
            }
        }
    }
}
