using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>What every registered number format must do, tested for all of them and for their important arguments.</summary>
public sealed class NumberFormatContractTests
{
    private static readonly Shape[] Shapes =
    [
        Shape.Scalar, new(1), new(7), new(0), new(3, 0), new(0, 5), new(4, 16), new(5, 37), new(2, 3, 64), new(9, 1), new(2, 200),
    ];

    /// <summary>Every format with its defaults, and variants that change its layout.</summary>
    public static TheoryData<string> Specs()
    {
        var data = new TheoryData<string>();
        foreach (INumberFormat format in NumberFormats.All)
        {
            data.Add(format.Id);
            if (format.Id == "ternary")
            {
                data.Add("ternary(packing=base3,rule=absmax)");
                data.Add("ternary(packing=base3,scope=row)");
            }

            if (format.Id == "float")
            {
                data.Add("float(exponent=2,mantissa=2,scale=none)");
                data.Add("float(exponent=3,mantissa=2,specials=fnuz,scale=f16,block=48)");
                data.Add("float(exponent=0,mantissa=2,scale=e4m3,block=row)");
                data.Add("float(exponent=1,mantissa=0,scale=bf16)");
                data.Add("float(block=tensor)");
                data.Add("float(block=tensor,exponent=2,mantissa=2,scale=f32)");
            }

            if (format.Id is "mxfp8" or "mxfp6")
            {
                data.Add(format.Id == "mxfp8" ? "mxfp8(element=e5m2,mode=rceil)" : "mxfp6(element=e3m2,mode=even)");
            }

            if (format.Id == "fp8")
            {
                data.Add("fp8(scope=tensor)");
                data.Add("fp8(rule=mse,scope=tensor)");
                data.Add("fp8(scope=tile)");
                data.Add("fp8(block=16,element=e5m2,rule=mse,scope=tile)");
                data.Add("fp8(element=e4m3,rule=gaudi,scope=block)");
            }

            if (format.Id == "scalar")
            {
                data.Add("scalar(element=bf16,round=truncate)");
                data.Add("scalar(element=f16,overflow=saturate)");
                data.Add("scalar(element=e3m2)");
                data.Add("scalar(element=e2m1)");
                data.Add("scalar(element=e8m0,round=up)");
            }

            if (format.Id == "palette")
            {
                data.Add("palette(bits=8,entries=f16)");
                data.Add("palette(bits=5)");
                data.Add("palette(bits=3,group=row)");
                data.Add("palette(bits=1,group=3,entries=bf16)");
                data.Add("palette(bits=6,group=2)");
            }

            if (format.Id is "nf4" or "dyn8")
            {
                data.Add($"{format.Id}(block=128,nested=true)");
            }

            if (format is IntBlockFormat)
            {
                data.Add($"{format.Id}(block=16,scale=f16,symmetric=false)");
                data.Add($"{format.Id}(block=64,scale=bf16,search=mse)");
                data.Add($"{format.Id}(block=row,symmetric=false,search=mse)");
                data.Add($"{format.Id}(block=256)");
                data.Add($"{format.Id}(block=48,symmetric=false,zeros=float,scale=f16)");
                data.Add($"{format.Id}(block=80,layout=planes)");
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Bind_fillsInDefaults_and_isStable(string spec)
    {
        foreach (Shape shape in Shapes)
        {
            IBoundNumberFormat bound = Bind(spec, shape);

            Assert.Equal(UnitSpec.Parse(spec).Id, bound.Spec.Id);
            Assert.Equal(bound.Spec, NumberFormats.Bind(bound.Spec, shape).Spec);
            Assert.Equal(bound.Spec, UnitSpec.Parse(bound.Spec.ToString()));
            Assert.Equal(shape.ElementCount, bound.Shape.ElementCount);
            Assert.NotEmpty(bound.Streams);
            Assert.Equal(bound.Streams.Count, bound.Streams.Select(s => s.Role).Distinct().Count());
            if (bound.Shape.Columns > 0 && bound.Streams.All(s => s.HasFixedLength))
            {
                // A row of a packed type may end inside a byte.
                double stored = bound.Streams.Sum(s => s.BytesPerRow) * 8.0 / bound.Shape.Columns;
                Assert.InRange(bound.BitsPerValue, stored - (7.0 / bound.Shape.Columns), stored);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Bind_unknownArgument_isMP1022(string spec)
    {
        UnitSpec parsed = UnitSpec.Parse(spec);
        var wrong = new UnitSpec(parsed.Id, [.. parsed.Arguments.Select(a => (a.Key, a.Value)), ("blok", "32")]);

        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => NumberFormats.Bind(wrong, new Shape(4, 16))).Code);
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Bind_absurdShapes_areRefusedOrHaveExactSizes(string spec)
    {
        Shape[] absurd = [new(long.MaxValue), new(long.MaxValue, 2), new(1L << 40, 1L << 40), new(1L << 40, 1L << 40, 0), new(1L << 33, 1L << 20)];
        foreach (Shape shape in absurd)
        {
            try
            {
                IBoundNumberFormat bound = Bind(spec, shape);
                Assert.All(bound.Streams, s => Assert.InRange((Int128)s.BytesPerRow * bound.Shape.Rows, -long.MaxValue, long.MaxValue));
            }
            catch (ModelPackException e)
            {
                Assert.Equal(ErrorCodes.BadEncoding, e.Code);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void EncodeRows_inTiles_equalsAtOnce_and_onGuardedBuffers(string spec)
    {
        foreach (Shape shape in Shapes)
        {
            IBoundNumberFormat bound = Bind(spec, shape);
            if (!IsReal(bound))
            {
                continue;
            }

            float[] values = Input(bound, 11);
            byte[][] whole = Encode(bound, values, int.MaxValue);
            Assert.Equal(bound.Streams.Select(s => s.BytesPerRow * bound.Shape.Rows), whole.Select(s => s.LongLength));
            foreach (int tile in new[] { 1, 2, 3 })
            {
                byte[][] tiled = Encode(bound, values, tile);
                for (int s = 0; s < whole.Length; s++)
                {
                    Assert.True(whole[s].AsSpan().SequenceEqual(tiled[s]), $"{bound.Spec} of {shape}: stream {bound.Streams[s].Role} differs in tiles of {tile}");
                }

                Assert.Equal(Decode(bound, whole, int.MaxValue), Decode(bound, whole, tile));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void DecodeRows_ofEncodedRows_isNear_and_encodesTheSameAgainWhereExact(string spec)
    {
        foreach (Shape shape in Shapes)
        {
            IBoundNumberFormat bound = Bind(spec, shape, 12);
            if (!IsReal(bound))
            {
                continue;
            }

            float[] values = Input(bound, 12);
            byte[][] streams = Encode(bound, values, int.MaxValue);
            float[] decoded = Decode(bound, streams, int.MaxValue);
            float range = values.Length == 0 ? 0 : values.Max(MathF.Abs);

            // Even two bits keep a value within the range of its row; anything else is a layout error.
            Assert.All(Enumerable.Range(0, values.Length), i => Assert.InRange(decoded[i] - values[i], -range - 1e-3f, range + 1e-3f));
            if (bound is BoundRawFormat)
            {
                Assert.Equal(streams, Encode(bound, decoded, int.MaxValue));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void DecodeRows_anyBytes_givesValuesOrMP1023(string spec)
    {
        IBoundNumberFormat bound = Bind(spec, new Shape(3, 48));
        if (!IsReal(bound))
        {
            return;
        }

        var random = new SplitMix(21);
        for (int round = 0; round < 50; round++)
        {
            byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * bound.Shape.Rows])];
            foreach (byte[] stream in streams)
            {
                random.Fill(stream);
            }

            try
            {
                _ = Decode(bound, streams, 2);
            }
            catch (ModelPackException e)
            {
                Assert.Equal(ErrorCodes.BadStream, e.Code);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Rows_withBuffersOfAnotherLength_areRefused(string spec)
    {
        IBoundNumberFormat bound = Bind(spec, new Shape(4, 16));
        if (!IsReal(bound))
        {
            return;
        }

        float[] values = Input(bound, 5);
        Memory<byte>[] right = [.. bound.Streams.Select(s => new Memory<byte>(new byte[s.BytesPerRow * bound.Shape.Rows]))];
        int rows = (int)bound.Shape.Rows;
        Assert.ThrowsAny<ArgumentException>(() => bound.EncodeRows(values.AsSpan(1), rows, right));
        for (int s = 0; s < right.Length; s++)
        {
            Memory<byte>[] longer = [.. right];
            longer[s] = new byte[right[s].Length + 1];
            Assert.ThrowsAny<ArgumentException>(() => bound.EncodeRows(values, rows, longer));
            if (right[s].IsEmpty)
            {
                continue;
            }

            Memory<byte>[] shorter = [.. right];
            shorter[s] = right[s][1..];
            Assert.ThrowsAny<ArgumentException>(() => bound.EncodeRows(values, rows, shorter));
            Assert.ThrowsAny<ArgumentException>(() => bound.DecodeRows([.. shorter.Select(m => (ReadOnlyMemory<byte>)m)], rows, values));
        }

        Assert.ThrowsAny<ArgumentException>(() => bound.EncodeRows(values, rows, [.. right, default]));
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void EncodeRows_nonFiniteValues_areKeptOrAreMP1040(string spec)
    {
        IBoundNumberFormat bound = Bind(spec, new Shape(2, 16));
        if (!IsReal(bound))
        {
            return;
        }

        foreach (float bad in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity })
        {
            float[] values = Input(bound, 6);
            values[^3] = bad;
            try
            {
                float back = Decode(bound, Encode(bound, values, int.MaxValue), int.MaxValue)[^3];
                // A format with one code for all of them may give NaN back for infinity.
                Assert.True(float.IsNaN(back) || (!float.IsNaN(bad) && back == bad) || Math.Abs(back) >= 6, $"{spec}: {bad} silently became {back}");
            }
            catch (ModelPackException e)
            {
                Assert.Equal(ErrorCodes.UnrepresentableValue, e.Code);
                Assert.Contains("column", e.Message, StringComparison.Ordinal);
            }
        }
    }

    /// <summary>Formats that must know the whole tensor are given test values.</summary>
    internal static IBoundNumberFormat Bind(string spec, Shape shape, ulong seed = 11)
    {
        UnitSpec parsed = UnitSpec.Parse(spec);
        if (NumberFormats.Get(parsed.Id) is ITensorwideFormat && shape.TryElementCount(out long count) && count < 1 << 20)
        {
            TensorData data = TensorData.FromBytes(MemoryMarshal.AsBytes<float>(Values.Weights(seed, (int)count)).ToArray());
            parsed = NumberFormats.Complete(parsed, new RawValueReader(DType.F32, shape, data));
        }

        return NumberFormats.Bind(parsed, shape);
    }

    internal static bool IsReal(IBoundNumberFormat bound) => bound is not BoundRawFormat raw || RawDecoder.IsReal(raw.DType);

    /// <summary>Values the format can take: weights, or small integers, or booleans.</summary>
    internal static float[] Input(IBoundNumberFormat bound, ulong seed)
    {
        float[] values = Values.Weights(seed, (int)bound.Shape.ElementCount);
        if (bound.Spec.Text("element", "") == "e8m0")
        {
            return [.. values.Select(MathF.Abs)];
        }

        if (bound is BoundRawFormat raw)
        {
            var random = new SplitMix(seed);
            bool unsigned = raw.DType is DType.U64 or DType.U32 or DType.U16 or DType.U8 or DType.U4 or DType.U2;
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = raw.DType switch
                {
                    DType.Bool => random.Below(2),
                    DType.F8E8M0 => MathF.ScaleB(1, random.Between(-20, 20)),
                    _ when unsigned => random.Below(4),
                    _ when raw.DType.IsInteger() => random.Between(-2, 1),
                    _ => values[i],
                };
            }
        }

        return values;
    }

    internal static byte[][] Encode(IBoundNumberFormat bound, float[] values, int tileRows)
    {
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * bound.Shape.Rows])];
        int columns = (int)bound.Shape.Columns;
        for (long first = 0; first < bound.Shape.Rows; first += tileRows)
        {
            int rows = (int)Math.Min(tileRows, bound.Shape.Rows - first);
            using PoisonBuffer source = PoisonBuffer.Copy<float>(values.AsSpan((int)first * columns, rows * columns));
            PoisonBuffer[] tile = [.. bound.Streams.Select(s => PoisonBuffer.EndingAtGuard((int)s.BytesPerRow * rows))];
            foreach (PoisonBuffer buffer in tile)
            {
                buffer.GetSpan().Fill(0xCC);
            }

            bound.EncodeRows(source.As<float>(), rows, [.. tile.Select(t => t.Memory)]);
            for (int s = 0; s < tile.Length; s++)
            {
                tile[s].GetSpan().CopyTo(streams[s].AsSpan((int)(first * bound.Streams[s].BytesPerRow)));
                ((IDisposable)tile[s]).Dispose();
            }
        }

        return streams;
    }

    internal static float[] Decode(IBoundNumberFormat bound, byte[][] streams, int tileRows)
    {
        int columns = (int)bound.Shape.Columns;
        float[] values = new float[bound.Shape.ElementCount];
        for (long first = 0; first < bound.Shape.Rows; first += tileRows)
        {
            int rows = (int)Math.Min(tileRows, bound.Shape.Rows - first);
            PoisonBuffer[] tile = [.. streams.Select((s, i) => PoisonBuffer.Copy<byte>(s.AsSpan((int)(first * bound.Streams[i].BytesPerRow), (int)(rows * bound.Streams[i].BytesPerRow))))];
            using PoisonBuffer destination = PoisonBuffer.EndingAtGuard(rows * columns * 4);
            bound.DecodeRows([.. tile.Select(t => (ReadOnlyMemory<byte>)t.Memory)], rows, destination.As<float>());
            destination.As<float>().CopyTo(values.AsSpan((int)first * columns));
            foreach (PoisonBuffer buffer in tile)
            {
                ((IDisposable)buffer).Dispose();
            }
        }

        return values;
    }
}
