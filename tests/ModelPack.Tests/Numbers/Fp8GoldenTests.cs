using System.Runtime.InteropServices;
using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Scaled FP8 against vectors of ml_dtypes and independent code, on every tier.</summary>
[Trait("Category", "Simd")]
public sealed class Fp8GoldenTests
{
    public static TheoryData<string, int, int, string, bool> Cases()
    {
        var data = new TheoryData<string, int, int, string, bool>();
        foreach ((string set, int rows, int columns) in new[] { ("dsnormal", 136, 260), ("dslaplace", 129, 130) })
        {
            foreach (string kind in new[] { "tensor", "row", "block128x128", "act1x128" })
            {
                data.Add(set, rows, columns, kind, false);
                data.Add(set, rows, columns, kind, true);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Rows_equalGolden(string set, int rows, int columns, string kind, bool pow2)
    {
        string name = $"fp8/{set}_{kind}{(pow2 ? "_pow2" : "")}";
        float[] input = Golden.Floats($"fp8/{set}_in.bin");
        float[] scales = Golden.Floats($"{name}_scales.bin");
        byte[] codes = Golden.Bytes($"{name}_codes.bin");
        float[] decoded = Golden.Floats($"{name}_dec.bin");
        var spec = new UnitSpec("fp8", ("rule", pow2 ? "pow2" : "absmax"), ("scope", kind switch
        {
            "tensor" => "tensor",
            "row" => "row",
            "block128x128" => "tile",
            _ => "block",
        }));
        spec = kind == "act1x128" ? spec.With("min_amax", "0.0001") : spec;
        var shape = new Shape(rows, columns);
        spec = NumberFormats.Complete(spec, new RawValueReader(DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(input).ToArray())));
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("fp8")).Bind(spec, shape, tier);
            byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * bound.Shape.Rows])];
            bound.EncodeRows(input, (int)bound.Shape.Rows, [.. streams.Select(s => s.AsMemory())]);
            Assert.Equal(codes, streams[0]);
            float[] actual = kind == "tensor" ? [float.Parse(spec.Text("scale", ""), System.Globalization.CultureInfo.InvariantCulture)] : MemoryMarshal.Cast<byte, float>(streams[1]).ToArray();
            Assert.Equal(scales.Select(BitConverter.SingleToInt32Bits), actual.Select(BitConverter.SingleToInt32Bits));

            float[] values = new float[input.Length];
            byte[][] stored = kind == "tensor" ? [codes] : [codes, MemoryMarshal.AsBytes<float>(scales).ToArray()];
            bound.DecodeRows([.. stored.Select(s => (ReadOnlyMemory<byte>)s)], (int)bound.Shape.Rows, values);
            Assert.Equal(decoded.Select(BitConverter.SingleToInt32Bits), values.Select(BitConverter.SingleToInt32Bits));
        }
    }
}
