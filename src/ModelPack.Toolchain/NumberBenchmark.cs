using System.Diagnostics;
using System.Runtime.InteropServices;
using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>Times the encoders and decoders of number formats on one core.</summary>
/// <remarks>
/// The values are a 64 MiB matrix, more than last-level caches hold; a pass goes through all of it in tiles of whole rows of about 64 Ki values, as the packer and the loader do, and
/// writes its whole output. Passes of encoding, decoding and copying take turns; each figure is the fastest of its passes.
/// </remarks>
public static class NumberBenchmark
{
    private const int Rows = 4096;
    private const int Columns = 4096;
    private const int TileRows = 16;
    private const int Passes = 21;
    private const int LeastPasses = 3;

    /// <summary>Formats whose encoders search get fewer passes.</summary>
    private static readonly TimeSpan EnoughTime = TimeSpan.FromSeconds(4);

    /// <summary>What is measured when no formats are named: one spec per format and the variants that run through other kernels.</summary>
    public static IReadOnlyList<string> DefaultFormats { get; } =
    [
        "bf16", "f16", "f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz",
        "int8", "int8(block=row)", "int8(symmetric=false)", "int8(symmetric=false,zeros=float)", "int7", "int6", "int5",
        "int4", "int4(block=row)", "int4(block=128,scale=f16)", "int4(symmetric=false)", "int4(symmetric=false,zeros=float)", "int4(layout=planes)",
        "int3", "int3(layout=planes)", "int2", "int2(block=128,scale=f16)",
        "nf4", "nf4(nested=true)", "fp4", "dyn8", "dyn8(block=256)", "dyn8(nested=true)",
        "mxfp8", "mxfp8(element=e5m2)", "mxfp6", "mxfp6(element=e3m2)", "mxfp4", "mxint8", "nvfp4(global=4E-05)",
        "float(exponent=3,mantissa=4)", "float(exponent=2,mantissa=2,scale=f16)", "float(exponent=4,mantissa=3,scale=none)",
        "fp8", "fp8(scope=tensor,scale=0.0003)", "fp8(scope=tile)", "fp8(rule=pow2,scope=tile)", "fp8(scope=block)", "fp8(element=e5m2)", "fp8(element=e4m3,rule=gaudi)", "fp8(rule=mse,scope=tile)",
        "scalar", "scalar(element=bf16,round=truncate)", "scalar(element=e3m2)", "scalar(element=e2m1)",
        "palette(bits=4)", "palette(bits=8)", "palette(bits=4,group=row)",
        "posit16", "posit16(es=1)", "posit8", "posit8(es=0)", "bfloat8",
        "ternary", "ternary(packing=base3)", "ternary(scope=row)", "bitnet-i2_s", "bitnet-tl1(tiles=256x128x32)", "bitnet-tl2(tiles=256x96x32)", "bnb-int8",
        "gguf-q8_0", "gguf-q6_k", "gguf-q4_k", "gguf-q4_0", "gguf-mxfp4", "gguf-nvfp4", "gguf-tq2_0", "gguf-tq1_0",
    ];

    /// <summary>Measures formats one after the other.</summary>
    /// <param name="formats">Specs such as <c>nf4(block=128)</c>; null for <see cref="DefaultFormats"/>.</param>
    /// <param name="progress">Told the name of each format.</param>
    /// <param name="cancellation">Checked between passes.</param>
    /// <exception cref="ModelPackException">MP1021, MP1022: a format does not exist or has wrong arguments.</exception>
    public static BenchNumbersResult Run(IReadOnlyList<string>? formats = null, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        // Binding first: a misspelt name should not cost the measurements before it.
        var shape = new Shape(Rows, Columns);
        UnitSpec[] specs = [.. (formats ?? DefaultFormats).Select(UnitSpec.Parse)];
        foreach (UnitSpec spec in specs)
        {
            _ = NumberFormats.Bind(spec, shape);
        }

        float[] values = GaussianError.Sample(Rows * Columns, 0.02f);
        var reader = new RawValueReader(DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray()));
        IBoundNumberFormat[] bound = [.. specs.Select(s => NumberFormats.Bind(NumberFormats.Complete(s, reader), shape))];
        float[] output = new float[values.Length];
        var results = new List<BenchedFormat>();
        foreach (IBoundNumberFormat format in bound)
        {
            progress?.Report(new ToolProgress("bench numbers", results.Count, bound.Length, UnitSpec.Shorten(format.Spec.ToString())));
            results.Add(Measure(format, values, output, cancellation));
        }

        double[] copies = [.. results.Select(r => r.MemcpyGbps).Order()];
        return new BenchNumbersResult
        {
            Results = results,
            MemcpyGbps = copies.Length == 0 ? 0 : copies[copies.Length / 2],
            Cpu = Processor.Name,
            Values = values.LongLength,
        };
    }

    private static BenchedFormat Measure(IBoundNumberFormat format, float[] values, float[] output, CancellationToken cancellation)
    {
        Memory<byte>[] streams = [.. format.Streams.Select(s => new Memory<byte>(new byte[s.BytesPerRow * format.Shape.Rows]))];
        double encode = double.MaxValue;
        double decode = double.MaxValue;
        double bf16 = double.MaxValue;
        double f16 = double.MaxValue;
        double copy = double.MaxValue;
        long start = Stopwatch.GetTimestamp();
        for (int pass = 0; pass < Passes && (pass < LeastPasses || Stopwatch.GetElapsedTime(start) < EnoughTime); pass++)
        {
            cancellation.ThrowIfCancellationRequested();
            encode = Math.Min(encode, Seconds(() => Encode(format, values, streams)));
            decode = Math.Min(decode, Seconds(() => Decode(format, streams, DType.F32, MemoryMarshal.AsBytes(output.AsSpan()))));
            bf16 = Math.Min(bf16, Seconds(() => Decode(format, streams, DType.BF16, MemoryMarshal.AsBytes(output.AsSpan(0, output.Length / 2)))));
            f16 = Math.Min(f16, Seconds(() => Decode(format, streams, DType.F16, MemoryMarshal.AsBytes(output.AsSpan(0, output.Length / 2)))));
            copy = Math.Min(copy, Seconds(() => Copy(values, output)));
        }

        double gigabytes = values.LongLength * sizeof(float) / 1e9;
        return new BenchedFormat
        {
            Format = UnitSpec.Shorten(format.Spec.ToString()),
            BitsPerWeight = format.BitsPerValue,
            EncodeGbps = gigabytes / encode,
            DecodeGbps = gigabytes / decode,
            DecodeBf16Gbps = gigabytes / 2 / bf16,
            DecodeF16Gbps = gigabytes / 2 / f16,
            MemcpyGbps = gigabytes / copy,
            DecodeRatio = copy / decode,
        };
    }

    private static double Seconds(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static void Encode(IBoundNumberFormat format, float[] values, Memory<byte>[] streams)
    {
        var tile = new Memory<byte>[streams.Length];
        (int rows, int columns, int tileRows) = Tiling(format);
        for (int row = 0; row < rows; row += tileRows)
        {
            for (int s = 0; s < streams.Length; s++)
            {
                int rowBytes = (int)format.Streams[s].BytesPerRow;
                tile[s] = streams[s].Slice(row * rowBytes, tileRows * rowBytes);
            }

            format.EncodeRows(values.AsSpan(row * columns, tileRows * columns), tileRows, tile);
        }
    }

    private static void Decode(IBoundNumberFormat format, Memory<byte>[] streams, DType dtype, Span<byte> output)
    {
        int width = dtype.BitsPerElement() / 8;
        var tile = new ReadOnlyMemory<byte>[streams.Length];
        (int rows, int columns, int tileRows) = Tiling(format);
        for (int row = 0; row < rows; row += tileRows)
        {
            for (int s = 0; s < streams.Length; s++)
            {
                int rowBytes = (int)format.Streams[s].BytesPerRow;
                tile[s] = streams[s].Slice(row * rowBytes, tileRows * rowBytes);
            }

            format.DecodeRows(tile, tileRows, dtype, output.Slice(row * columns * width, tileRows * columns * width));
        }
    }

    /// <summary>Coded rows, which may hold several rows of the matrix, and how many of them make a tile.</summary>
    private static (int Rows, int Columns, int TileRows) Tiling(IBoundNumberFormat format) =>
        ((int)format.Shape.Rows, (int)format.Shape.Columns, Math.Max(1, TileRows * Columns / (int)format.Shape.Columns));

    private static void Copy(float[] values, float[] output)
    {
        for (int row = 0; row < Rows; row += TileRows)
        {
            values.AsSpan(row * Columns, TileRows * Columns).CopyTo(output.AsSpan(row * Columns, TileRows * Columns));
        }
    }
}
