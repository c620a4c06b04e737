using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

public sealed class IntBlockGoldenTests
{
    public static TheoryData<int, int, int, int, bool> MatMulNBitsCases()
    {
        var data = new TheoryData<int, int, int, int, bool>();
        foreach (int bits in new[] { 2, 4, 8 })
        {
            foreach (bool zeroPoints in new[] { true, false })
            {
                data.Add(bits, 8, 96, 32, zeroPoints);
                data.Add(bits, 5, 70, 16, zeroPoints);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(MatMulNBitsCases))]
    public void Packing_equalsMatMulNBits(int bits, int n, int k, int block, bool zeroPoints)
    {
        string name = $"mmnb/b{bits}_{n}x{k}_{block}_z{(zeroPoints ? 1 : 0)}";
        byte[] codes = Golden.Bytes($"{name}_q.bin");
        byte[] packed = Golden.Bytes($"{name}_B.bin");
        byte[] built = new byte[packed.Length];
        int blobBytes = block * bits / 8;
        for (int i = 0; i < codes.Length; i++)
        {
            CodePacking.Set(built.AsSpan(i / block * blobBytes, blobBytes), i % block, bits, codes[i]);
        }

        Assert.Equal(packed, built);
        if (zeroPoints)
        {
            byte[] single = Golden.Bytes($"{name}_zp.bin");
            byte[] packedZeroPoints = Golden.Bytes($"{name}_zpp.bin");
            int blocks = single.Length / n;
            for (int i = 0; i < single.Length; i++)
            {
                int rowBytes = packedZeroPoints.Length / n;
                Assert.Equal(single[i], CodePacking.Get(packedZeroPoints.AsSpan(i / blocks * rowBytes, rowBytes), i % blocks, bits));
            }
        }
    }

    [Theory]
    [MemberData(nameof(MatMulNBitsCases))]
    public void DecodeRows_ofMatMulNBitsInputs_givesItsProduct(int bits, int n, int k, int block, bool zeroPoints)
    {
        string name = $"mmnb/b{bits}_{n}x{k}_{block}_z{(zeroPoints ? 1 : 0)}";
        IBoundNumberFormat format = NumberFormats.Bind(UnitSpec.Parse($"int{bits}(block={block},symmetric={(zeroPoints ? "false" : "true")})"), new Shape(n, k));
        byte[] codes = Golden.Bytes($"{name}_q.bin");
        float[] scales = Golden.Floats($"{name}_s.bin");
        byte[]? zero = zeroPoints ? Golden.Bytes($"{name}_zp.bin") : null;
        List<ReadOnlyMemory<byte>> streams = [Golden.Bytes($"{name}_B.bin"), Golden.Bytes($"{name}_s.bin")];
        if (zeroPoints)
        {
            streams.Add(Golden.Bytes($"{name}_zpp.bin"));
        }

        float[] values = new float[n * k];
        format.DecodeRows([.. streams], n, values);

        int blocks = scales.Length / n;
        for (int r = 0; r < n; r++)
        {
            for (int c = 0; c < k; c++)
            {
                int b = (r * blocks) + (c / block);
                float expected = (codes[(r * blocks * block) + c] - (zero?[b] ?? 1 << (bits - 1))) * scales[b];
                Assert.Equal(expected, values[(r * k) + c]);
            }
        }

        float[] left = Golden.Floats($"{name}_A.bin");
        float[] product = Golden.Floats($"{name}_Y.bin");
        for (int m = 0; m < left.Length / k; m++)
        {
            for (int r = 0; r < n; r++)
            {
                double sum = 0;
                for (int c = 0; c < k; c++)
                {
                    sum += left[(m * k) + c] * (double)values[(r * k) + c];
                }

                Assert.InRange(sum - product[(m * n) + r], -1e-4 * Math.Max(1, Math.Abs(sum)), 1e-4 * Math.Max(1, Math.Abs(sum)));
            }
        }
    }

    [Theory]
    [InlineData("int4", 16)]
    [InlineData("uint4", 16)]
    [InlineData("int8", 16)]
    [InlineData("uint8", 16)]
    [InlineData("int2", 16)]
    [InlineData("uint2", 16)]
    [InlineData("int4", 45)]
    [InlineData("uint4", 45)]
    [InlineData("int8", 45)]
    [InlineData("uint8", 45)]
    [InlineData("int2", 45)]
    [InlineData("uint2", 45)]
    public void Codes_forGivenScales_and_values_equalQuantizeLinear(string type, int block)
    {
        const int Rows = 6;
        const int Columns = 45;
        string name = $"onnxq/m_{type}_{(block == Columns ? "a0_b0" : "a1_b16")}_z1";
        int bits = type[^1] - '0';
        int offset = type[0] == 'u' ? 0 : 1 << (bits - 1);
        int blocks = (Columns + block - 1) / block;
        float[] input = Golden.Floats("onnxq/m_in.bin");
        float[] scales = Golden.Floats($"{name}_s.bin");
        int[] zeroPoints = Unsigned(Golden.Bytes($"{name}_z.bin"), Rows * blocks, bits, offset);
        int[] codes = Unsigned(Golden.Bytes($"{name}_y.bin"), Rows * Columns, bits, offset);
        IntBlockLayout layout = IntBlockFormat.Layout(UnitSpec.Parse($"int{bits}(symmetric=false,block={(block == Columns ? "row" : "16")})"), bits, Columns);

        byte[] blobs = new byte[Rows * layout.CodeBytesPerRow];
        byte[] zeroBytes = new byte[Rows * layout.ZeroPointBytesPerRow];
        for (int i = 0; i < input.Length; i++)
        {
            int row = i / Columns;
            int column = i % Columns;
            int b = (row * blocks) + (column / block);
            Assert.Equal(codes[i], IntBlockReference.Code(input[i], new BlockScale(scales[b], zeroPoints[b]), layout));
            CodePacking.Set(blobs.AsSpan((row * layout.CodeBytesPerRow) + (column / block * layout.BlobBytes), layout.BlobBytes), column % block, bits, codes[i]);
        }

        for (int i = 0; i < zeroPoints.Length; i++)
        {
            CodePacking.Set(zeroBytes.AsSpan(i / blocks * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow), i % blocks, bits, zeroPoints[i]);
        }

        float[] values = new float[input.Length];
        IBoundNumberFormat format = NumberFormats.Bind(UnitSpec.Parse($"int{bits}(symmetric=false,block={(block == Columns ? "row" : "16")})"), new Shape(Rows, Columns));
        format.DecodeRows([blobs, Golden.Bytes($"{name}_s.bin"), zeroBytes], Rows, values);

        Assert.Equal(Golden.Floats($"{name}_d.bin"), values);
    }

    /// <summary>Codes packed over the flattened tensor, two's complement or unsigned, as unsigned codes with the offset added.</summary>
    private static int[] Unsigned(byte[] packed, int count, int bits, int offset)
    {
        int[] codes = new int[count];
        for (int i = 0; i < count; i++)
        {
            codes[i] = (CodePacking.Get(packed, i, bits) + offset) & ((1 << bits) - 1);
        }

        return codes;
    }
}
