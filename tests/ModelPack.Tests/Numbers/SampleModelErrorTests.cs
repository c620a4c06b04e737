using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>
/// Quantisation error on the sample model against figures computed by independent code (PyTorch), and fixed hashes of encoded bytes, which must be the
/// same on every machine and instruction set.
/// </summary>
public sealed class SampleModelErrorTests
{
    [Theory]
    [InlineData("int4(block=32)", 0.00944)]
    [InlineData("int4(block=128)", 0.01391)]
    [InlineData("int4(block=row)", 0.01724)]
    [InlineData("int4(block=32,symmetric=false)", 0.00654)]
    [InlineData("int4(block=128,symmetric=false)", 0.01018)]
    [InlineData("int3(block=32)", 0.05152)]
    [InlineData("int3(block=128,symmetric=false)", 0.04676)]
    [InlineData("int2(block=32,symmetric=false)", 0.16518)]
    [InlineData("int6(block=128)", 0.00071)]
    [InlineData("int8(block=128)", 0.00004)]
    [InlineData("int8(block=row)", 0.00005)]
    [InlineData("mxfp4", 0.01362)]
    [InlineData("mxfp8", 0.00093)]
    public void RelativeSquaredError_ofTheDecoderLinears_equalsTheIndependentFigure(string spec, double expected)
    {
        double error = 0;
        double energy = 0;
        using MappedFile file = MappedFile.Open(RepositoryTree.PathTo("samples", "models", "tinyllama", "model.safetensors"));
        foreach ((Shape shape, TensorData data) in DecoderLinears(file))
        {
            float[] values = new float[shape.ElementCount];
            new RawValueReader(DType.BF16, shape, data).ReadRows(0, (int)shape.Rows, values);
            float[] decoded = RoundTrip(spec, shape, values, out _);
            for (int i = 0; i < values.Length; i++)
            {
                double difference = (double)values[i] - decoded[i];
                error += difference * difference;
                energy += (double)values[i] * values[i];
            }
        }

        Assert.Equal(expected, error / energy, 0.0000051);
    }

    [Theory]
    [InlineData("int4", "915B35ADB5590A35")]
    [InlineData("int8(scale=f16)", "93ADDC5637DC8F6A")]
    [InlineData("int4(symmetric=false,scale=bf16)", "85891D0E34D9CDF2")]
    [InlineData("int4(search=mse)", "20047C5290619091")]
    [InlineData("int3(block=row,search=mse,symmetric=false)", "5DC4162B75F0A68D")]
    [InlineData("bf16", "F99B7800858FE1BD")]
    [InlineData("f16", "0B8B7189B8AE86FF")]
    [InlineData("f8e4m3fn", "62AEE4F0580AA4B4")]
    [InlineData("mxfp8(element=e5m2,mode=even)", "6D8B5F6B224882B2")]
    [InlineData("mxfp6(mode=rceil)", "2BC0AFFC04DD2C53")]
    [InlineData("mxfp4", "40FC765B9F6D2B35")]
    [InlineData("mxint8(mode=ceil)", "9515CE6FFD6F1D19")]
    [InlineData("nvfp4(global=4E-05)", "FCEDD27E66D38F3E")]
    [InlineData("float(exponent=2,mantissa=2,scale=f16,block=48)", "FD117E08E5E22935")]
    public void EncodedBytes_areTheSameEverywhere(string spec, string expected)
    {
        var shape = new Shape(13, 333);
        _ = RoundTrip(spec, shape, Values.Weights(2026, 13 * 333), out byte[][] streams);

        Assert.Equal(expected, Convert.ToHexString(SHA256.HashData([.. streams.SelectMany(s => s)]))[..16]);
    }

    private static float[] RoundTrip(string spec, Shape shape, float[] values, out byte[][] streams)
    {
        IBoundNumberFormat format = NumberFormats.Bind(UnitSpec.Parse(spec), shape);
        streams = [.. format.Streams.Select(s => new byte[s.BytesPerRow * shape.Rows])];
        format.EncodeRows(values, (int)shape.Rows, [.. streams.Select(s => new Memory<byte>(s))]);
        float[] decoded = new float[values.Length];
        format.DecodeRows([.. streams.Select(s => new ReadOnlyMemory<byte>(s))], (int)shape.Rows, decoded);
        return decoded;
    }

    /// <summary>The seven linear weights of every decoder layer, [out, in], straight from the file's header.</summary>
    private static List<(Shape Shape, TensorData Data)> DecoderLinears(MappedFile file)
    {
        byte[] length = new byte[8];
        file.Read(0, length);
        byte[] header = new byte[BinaryPrimitives.ReadInt64LittleEndian(length)];
        file.Read(8, header);
        using JsonDocument json = JsonDocument.Parse(header);
        var linears = new List<(Shape, TensorData)>();
        foreach (JsonProperty tensor in json.RootElement.EnumerateObject())
        {
            if (tensor.Name.Contains(".layers.", StringComparison.Ordinal) && tensor.Name.EndsWith("_proj.weight", StringComparison.Ordinal))
            {
                long[] dims = [.. tensor.Value.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64())];
                long[] offsets = [.. tensor.Value.GetProperty("data_offsets").EnumerateArray().Select(d => d.GetInt64())];
                linears.Add((new Shape(dims), file.Region(8 + header.Length + offsets[0], offsets[1] - offsets[0])));
            }
        }

        Assert.Equal(56, linears.Count);
        return linears;
    }
}
