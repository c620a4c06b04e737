using System.Runtime.InteropServices;
using ModelPack.Pack;

namespace ModelPack.Tests.Pack;

/// <summary>Contents to pack, made from seeds.</summary>
internal static class PackSamples
{
    public static byte[] Random(int seed, int length)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Normal weights of a layer, as f32.</summary>
    public static float[] Weights(int seed, int count, double scale = 0.02)
    {
        var random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            double sum = 0;
            for (int k = 0; k < 6; k++)
            {
                sum += random.NextDouble() - 0.5;
            }

            values[i] = (float)(sum * scale);
        }

        return values;
    }

    public static byte[] Bf16(int seed, int count)
    {
        byte[] bytes = new byte[2 * count];
        Span<ushort> words = MemoryMarshal.Cast<byte, ushort>(bytes.AsSpan());
        float[] values = Weights(seed, count);
        for (int i = 0; i < count; i++)
        {
            words[i] = (ushort)(BitConverter.SingleToUInt32Bits(values[i]) >> 16);
        }

        return bytes;
    }

    public static byte[] F32(int seed, int count) => MemoryMarshal.AsBytes(Weights(seed, count).AsSpan()).ToArray();

    public static PackTensorContent Raw(string name, DType dtype, Shape shape, byte[] bytes) =>
        new(name, dtype, shape, DenseEncoding.Raw(dtype, shape, TensorData.FromBytes(bytes)));

    /// <summary>Some of everything that is small: dtypes, empty, scalar, constant, repeated.</summary>
    public static PackContent Small(int seed = 1) => PackContent.Empty with
    {
        Tensors =
        [
            Raw("w", DType.BF16, new Shape(24, 32), Bf16(seed, 24 * 32)),
            Raw("f", DType.F32, new Shape(7, 5), F32(seed, 35)),
            Raw("empty", DType.F32, new Shape(0, 5), []),
            Raw("scalar", DType.I64, Shape.Scalar, [1, 0, 0, 0, 0, 0, 0, 0]),
            Raw("zeros", DType.F32, new Shape(100), new byte[400]),
            Raw("again", DType.F32, new Shape(5, 7), F32(seed, 35)),
            Raw("odd \"name\" ü#values", DType.U8, new Shape(3), [1, 2, 3]),
        ],
        Blobs =
        [
            KeyValuePair.Create("recipe", TensorData.FromBytes("{ \"a\": 1, \"b\": [1, 2, 3] }"u8.ToArray())),
            KeyValuePair.Create("nothing", TensorData.Empty),
        ],
        Metadata = PackContent.Empty.Metadata.Add("source", "test").Add("format", "pt"),
    };
}
