using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Rows out of tiles are the bits that decoding the stored rows gives.</summary>
public sealed unsafe class TileRowTests
{
    [Theory]
    [MemberData(nameof(MatMulKernelTests.AllFormats), MemberType = typeof(MatMulKernelTests))]
    public void Rows_of_tiles_are_the_decoded_rows_bit_for_bit(string format)
    {
        foreach ((int n, int k) in new[] { (16, 32), (1, 1), (17, 33), (31, 100), (40, 272), (5, 700) })
        {
            using EncodedMatrix matrix = EncodedMatrix.Encode(format, n, k, Values.Weights((ulong)(n + k), n * k));
            using MatMulWeight weight = MatMulWeight.TryCreate(matrix.Spec, n, k)!;
            void* tiles = NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
            weight.Pack(matrix.Streams(weight.Roles), 0, weight.Layout.Tiles, (nint)tiles);
            float[] row = new float[k + 1];
            for (int r = 0; r < n; r++)
            {
                row[k] = 1234;
                fixed (float* values = row)
                {
                    weight.DecodeRow((byte*)tiles, r, values);
                }

                Assert.True(MemoryMarshal.AsBytes(matrix.Decoded.AsSpan(r * k, k)).SequenceEqual(MemoryMarshal.AsBytes(row.AsSpan(0, k))), $"row {r} of {n} x {k}");
                Assert.Equal(1234, row[k]);
            }

            NativeMemory.AlignedFree(tiles);
        }
    }

    [Theory]
    [InlineData("posit16")]
    [InlineData("posit16(es=1)")]
    public void A_posit_that_is_no_number_is_NaN_alone_and_sums_with_it_are(string format)
    {
        const int N = 17;
        const int K = 35;
        float[] values = Values.Weights(1, N * K);
        values[(16 * K) + 20] = float.NaN;
        using EncodedMatrix matrix = EncodedMatrix.Encode(format, N, K, values);
        using MatMulWeight weight = MatMulWeight.TryCreate(matrix.Spec, N, K)!;
        void* tiles = NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
        weight.Pack(matrix.Streams(weight.Roles), 0, weight.Layout.Tiles, (nint)tiles);
        float[] row = new float[K];
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            float[] y = new float[2 * N];
            fixed (float* to = row, x = Values.Weights(2, 2 * K), output = y)
            {
                weight.DecodeRow((byte*)tiles, 16, to);
                new MatMulRun(weight, MatMulArithmetic.Float, tier).Run((byte*)tiles, x, 2, output);
            }

            Assert.Equal([16, N + 16], Enumerable.Range(0, y.Length).Where(i => float.IsNaN(y[i])));
        }

        Assert.Equal(matrix.Decoded[(16 * K)..], row);
        Assert.Single(row, float.IsNaN);
        NativeMemory.AlignedFree(tiles);
    }
}
