using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

public sealed class RawFormatTests
{
    [Fact]
    public void All_hasARawFormatForEveryDType() =>
        Assert.All(DTypes.All, d => Assert.IsType<RawFormat>(NumberFormats.Get(d.Name())));

    [Fact]
    public void Bind_packedRowsThatEndInsideAByte_areOneRow()
    {
        Assert.Equal(new Shape(15), NumberFormats.Bind(new UnitSpec("i4"), new Shape(5, 3)).Shape);
        Assert.Equal(new Shape(5, 4), NumberFormats.Bind(new UnitSpec("i4"), new Shape(5, 4)).Shape);
        Assert.Equal(new Shape(6), NumberFormats.Bind(new UnitSpec("f6e2m3"), new Shape(3, 2)).Shape);
        Assert.Equal(8, NumberFormats.Bind(new UnitSpec("i4"), new Shape(5, 3)).Streams[0].BytesPerRow);
    }

    [Fact]
    public void String_isOpaque()
    {
        IBoundNumberFormat format = NumberFormats.Bind(new UnitSpec("string"), new Shape(3));

        Assert.False(format.Streams[0].HasFixedLength);
        Assert.Equal(ErrorCodes.OpaqueValues, Assert.Throws<ModelPackException>(() => format.DecodeRows([new byte[9]], 1, new float[3])).Code);
        Assert.Equal(ErrorCodes.OpaqueValues, Assert.Throws<ModelPackException>(() => format.EncodeRows(new float[3], 1, [new byte[9]])).Code);
        Assert.Equal(ErrorCodes.OpaqueValues, Assert.Throws<ModelPackException>(() => new RawValueReader(DType.C64, new Shape(1), TensorData.FromBytes(new byte[8]))).Code);
    }

    [Theory]
    [InlineData("i64", "00 00 00 00 00 00 00 80", -9223372036854775808f)]
    [InlineData("u64", "FF FF FF FF FF FF FF FF", 18446744073709551616f)]
    [InlineData("i32", "01 00 00 01", 16777216f)]
    [InlineData("u32", "FF FF FF FF", 4294967296f)]
    [InlineData("i16", "00 80", -32768f)]
    [InlineData("u16", "00 80", 32768f)]
    [InlineData("i8", "80", -128f)]
    [InlineData("u8", "80", 128f)]
    [InlineData("i4", "08", -8f)]
    [InlineData("u4", "F8", 8f)]
    [InlineData("i2", "02", -2f)]
    [InlineData("u2", "03", 3f)]
    [InlineData("bool", "07", 1f)]
    [InlineData("f64", "00 00 00 00 00 00 00 C0", -2f)]
    [InlineData("f32", "00 00 80 3F", 1f)]
    [InlineData("f16", "00 BC", -1f)]
    [InlineData("bf16", "80 3F", 1f)]
    [InlineData("f8e4m3fn", "7E", 448f)]
    [InlineData("f8e4m3fnuz", "7F", 240f)]
    [InlineData("f8e5m2", "7B", 57344f)]
    [InlineData("f8e5m2fnuz", "7F", 57344f)]
    [InlineData("f8e8m0", "00", 5.877471754111438e-39f)]
    [InlineData("f6e3m2", "1F", 28f)]
    [InlineData("f6e2m3", "1F", 7.5f)]
    [InlineData("f4e2m1", "0F", -6f)]
    public void DecodeRows_oneElement_hasItsValue(string format, string hex, float expected)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(new UnitSpec(format), new Shape(1));
        float[] value = new float[1];

        bound.DecodeRows([Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal))], 1, value);

        Assert.Equal(expected, value[0]);
    }

    [Theory]
    [InlineData("i8", 127.5f)]
    [InlineData("i8", 128f)]
    [InlineData("u8", -1f)]
    [InlineData("i64", 9223372036854775808f)]
    [InlineData("u32", 4294967296f)]
    [InlineData("i4", 8f)]
    [InlineData("bool", 2f)]
    [InlineData("f4e2m1", float.NaN)]
    [InlineData("f6e2m3", float.NaN)]
    [InlineData("f6e3m2", float.NaN)]
    [InlineData("f8e8m0", -1f)]
    public void EncodeRows_valueTheTypeDoesNotHave_isMP1040(string format, float value)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(new UnitSpec(format), new Shape(2));
        byte[] bytes = new byte[bound.Streams[0].BytesPerRow];

        ModelPackException error = Assert.Throws<ModelPackException>(() => bound.EncodeRows([1, value], 1, [bytes]));

        Assert.Equal(ErrorCodes.UnrepresentableValue, error.Code);
        Assert.Contains("column 1", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("i64", -9223372036854775808f, "00 00 00 00 00 00 00 80")]
    [InlineData("u64", 18446742974197923840f, "00 00 00 00 00 FF FF FF")]
    [InlineData("i8", -128f, "80")]
    [InlineData("i4", -8f, "08")]
    [InlineData("bool", 1f, "01")]
    [InlineData("f8e4m3fn", 464f, "7E")]
    [InlineData("f8e4m3fn", float.NegativeInfinity, "FE")]
    [InlineData("f8e4m3fnuz", -0f, "00")]
    [InlineData("f8e5m2", 1e9f, "7B")]
    [InlineData("f8e8m0", 3f, "81")]
    [InlineData("f4e2m1", 5f, "06")]
    [InlineData("f16", 1e9f, "00 7C")]
    [InlineData("bf16", 1.00390625f, "80 3F")]
    [InlineData("f64", 0.5f, "00 00 00 00 00 00 E0 3F")]
    public void EncodeRows_oneElement_hasItsBytes(string format, float value, string hex)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(new UnitSpec(format), new Shape(1));
        byte[] bytes = new byte[bound.Streams[0].BytesPerRow];

        bound.EncodeRows([value], 1, [bytes]);

        Assert.Equal(hex.Replace(" ", "", StringComparison.Ordinal), Convert.ToHexString(bytes));
    }

    [Theory]
    [InlineData(DType.F32)]
    [InlineData(DType.BF16)]
    [InlineData(DType.I64)]
    [InlineData(DType.U8)]
    [InlineData(DType.F6E2M3)]
    [InlineData(DType.I4)]
    [InlineData(DType.U2)]
    public void ReadBlock_anyRectangle_equalsTheWholeTensor(DType dtype)
    {
        // 600 columns of 2 to 64 bits: both the small-row and the segment path.
        foreach (long columns in new long[] { 1, 3, 37, 600, 3001 })
        {
            var shape = new Shape(7, columns);
            byte[] bytes = new byte[dtype.StorageBytes(7 * columns)];
            new SplitMix(3).Fill(bytes);
            var reader = new RawValueReader(dtype, shape, TensorData.FromBytes(bytes));
            float[] all = new float[7 * columns];
            RawDecoder.Decode(dtype, bytes, 0, all);
            float[] rows = new float[3 * columns];
            reader.ReadRows(2, 3, rows);
            Assert.Equal(Bits(all.AsSpan((int)(2 * columns), rows.Length)), Bits(rows));

            var random = new SplitMix((ulong)columns);
            for (int round = 0; round < 20; round++)
            {
                int firstRow = random.Below(7);
                int count = random.Between(0, 7 - firstRow);
                int firstColumn = random.Below((int)columns);
                int width = random.Between(1, (int)Math.Min(columns - firstColumn, round < 10 ? 40 : columns));
                float[] block = new float[count * width];
                reader.ReadBlock(firstRow, count, firstColumn, width, block);
                for (int r = 0; r < count; r++)
                {
                    Assert.Equal(Bits(all.AsSpan((int)(((firstRow + r) * columns) + firstColumn), width)), Bits(block.AsSpan(r * width, width)));
                }
            }
        }
    }

    [Fact]
    public void ReadRows_tensorLargerThanOneChunk_isWhole()
    {
        var shape = new Shape(3, 100_001);
        byte[] bytes = new byte[DType.U4.StorageBytes(300_003)];
        new SplitMix(9).Fill(bytes);
        float[] expected = new float[300_003];
        RawDecoder.Decode(DType.U4, bytes, 0, expected);
        float[] actual = new float[300_003];
        new RawValueReader(DType.U4, shape, TensorData.FromBytes(bytes)).ReadRows(0, 3, actual);

        Assert.Equal(expected, actual);
        Assert.Equal(bytes[^2] >> 4, actual[^2]);
    }

    [Fact]
    public void RawValueReader_wrongLength_isMP1020_and_outOfRangeIsRefused()
    {
        Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => new RawValueReader(DType.F32, new Shape(3), TensorData.FromBytes(new byte[11]))).Code);
        var reader = new RawValueReader(DType.F32, new Shape(3, 2), TensorData.FromBytes(new byte[24]));
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadRows(2, 2, new float[4]));
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadBlock(0, 1, 1, 2, new float[2]));
    }

    private static int[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, int>(values).ToArray();
}
