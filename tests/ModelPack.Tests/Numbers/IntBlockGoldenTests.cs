using System.Buffers.Binary;
using System.Globalization;
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

    public static TheoryData<string, string> QuantizeLinearCases()
    {
        var data = new TheoryData<string, string>();
        foreach (string type in new[] { "uint2", "int2", "uint4", "int4", "uint8", "int8", "uint16", "int16" })
        {
            foreach (string scales in new[] { "anone_b0_z1", "a0_b0_z1", "a1_b0_z0", "a1_b16_z1", "a0_b4_z1" })
            {
                data.Add(type, scales);
            }
        }

        return data;
    }

    /// <summary>
    /// Per tensor, per row, per column and in blocks along either axis. Scales along the first axis are those of rows of the transposed matrix. No format has codes of 16 bits or blocks of 4 values: the
    /// former check the rounding, the latter the reference too.
    /// </summary>
    [Theory]
    [MemberData(nameof(QuantizeLinearCases))]
    public void Codes_forGivenScales_and_values_equalQuantizeLinear(string type, string scalesOf)
    {
        string name = $"onnxq/m_{type}_{scalesOf}";
        int bits = int.Parse(type.AsSpan(type.IndexOf("int", StringComparison.Ordinal) + 3), CultureInfo.InvariantCulture);
        int offset = type[0] == 'u' ? 0 : 1 << (bits - 1);
        bool transposed = scalesOf is "a1_b0_z0" or "a0_b4_z1";
        (int rows, int columns) = scalesOf == "anone_b0_z1" ? (1, 270) : transposed ? (45, 6) : (6, 45);
        int block = scalesOf switch { "a1_b16_z1" => 16, "a0_b4_z1" => 4, _ => columns };
        int blocks = (columns + block - 1) / block;

        // Element i of the rows to be coded is element Source(i) of the file, block b of them block SourceBlock(b).
        int Source(int i) => transposed ? (i % columns * rows) + (i / columns) : i;
        int SourceBlock(int b) => transposed ? (b % blocks * rows) + (b / blocks) : b;
        float[] input = Golden.Floats("onnxq/m_in.bin");
        float[] fileScales = Golden.Floats($"{name}_s.bin");
        int[] fileZeros = Unsigned(Golden.Bytes($"{name}_z.bin"), rows * blocks, bits, offset);
        int[] codes = Unsigned(Golden.Bytes($"{name}_y.bin"), input.Length, bits, offset);
        float[] expected = Golden.Floats($"{name}_d.bin");
        string spec = $"int{bits}(symmetric=false,block={(block == columns ? "row" : "16")})";
        IntBlockLayout layout = bits > 8 || block == 4
            ? new IntBlockLayout(bits, columns, block, blocks, block * bits / 8, DType.F32, Symmetric: false, Search: false)
            : IntBlockFormat.Layout(UnitSpec.Parse(spec), bits, columns);
        byte[] blobs = new byte[rows * layout.CodeBytesPerRow];
        byte[] zeroBytes = new byte[rows * layout.ZeroPointBytesPerRow];
        byte[] scaleBytes = new byte[rows * layout.ScaleBytesPerRow];
        for (int b = 0; b < rows * blocks; b++)
        {
            ScaleType.Write(fileScales[SourceBlock(b)], DType.F32, scaleBytes, b);
        }

        for (int i = 0; i < input.Length; i++)
        {
            int row = i / columns;
            int column = i % columns;
            int b = SourceBlock((row * blocks) + (column / block));
            int code = IntBlockReference.Code(input[Source(i)], new BlockScale(fileScales[b], fileZeros[b]), layout);
            Assert.Equal(codes[Source(i)], code);
            if (bits <= 8)
            {
                CodePacking.Set(blobs.AsSpan((row * layout.CodeBytesPerRow) + (column / block * layout.BlobBytes), layout.BlobBytes), column % block, bits, code);
                CodePacking.Set(zeroBytes.AsSpan(row * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow), column / block, bits, fileZeros[b]);
            }
            else
            {
                Assert.Equal(expected[Source(i)], (code - fileZeros[b]) * fileScales[b]);
            }
        }

        if (bits > 8)
        {
            return;
        }

        float[] values = new float[input.Length];
        for (int r = 0; r < rows; r++)
        {
            IntBlockReference.DecodeRow(
                blobs.AsSpan(r * layout.CodeBytesPerRow, layout.CodeBytesPerRow),
                scaleBytes.AsSpan(r * layout.ScaleBytesPerRow, layout.ScaleBytesPerRow),
                zeroBytes.AsSpan(r * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow),
                layout,
                values.AsSpan(r * columns, columns));
        }

        Assert.Equal(expected, Enumerable.Range(0, values.Length).OrderBy(Source).Select(i => values[i]));
        if (block > 4)
        {
            Array.Clear(values);
            NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(rows, columns)).DecodeRows([blobs, scaleBytes, zeroBytes], rows, values);
            Assert.Equal(expected, Enumerable.Range(0, values.Length).OrderBy(Source).Select(i => values[i]));
        }
    }

    /// <summary>Codes packed over the flattened tensor, two's complement or unsigned, as unsigned codes with the offset added.</summary>
    private static int[] Unsigned(byte[] packed, int count, int bits, int offset)
    {
        int[] codes = new int[count];
        for (int i = 0; i < count; i++)
        {
            codes[i] = ((bits == 16 ? BinaryPrimitives.ReadUInt16LittleEndian(packed.AsSpan(2 * i)) : CodePacking.Get(packed, i, bits)) + offset) & ((1 << bits) - 1);
        }

        return codes;
    }
}
