using BenchmarkDotNet.Attributes;
using ModelPack.Numbers;
using ModelPack.Structures;
using ModelPack.Testing;

namespace ModelPack.Benchmarks.Numbers;

/// <summary>
/// Encoding and decoding of number formats as the packer does it: tiles of whole rows (64 Ki values), the input a matrix larger than the caches.
/// </summary>
public class NumberFormatBenchmarks
{
    private const int Rows = 4096;
    private const int Columns = 4096;
    private const int TileRows = 16;
    private const int Slices = 32;
    private const int SliceRows = Rows / Slices;
    private const long SliceValues = (long)SliceRows * Columns;

    private static readonly Shape Shape = new(Rows, Columns);

    private readonly float[] _values = Values.Weights(1, Rows * Columns);
    private readonly byte[] _bf16 = new byte[Rows * Columns * 2];
    private readonly float[] _tile = new float[TileRows * Columns];
    private IBoundNumberFormat _format = null!;
    private IBoundNumberFormat _raw = null!;
    private byte[][] _streams = [];

    [Params("int4", "int8", "int4(block=128,scale=f16)", "int4(symmetric=false)", "int4(search=mse)", "bf16", "f16", "f8e4m3fn")]
    public string Format { get; set; } = "int4";

    [GlobalSetup]
    public void Setup()
    {
        _raw = NumberFormats.Bind(new UnitSpec("bf16"), Shape);
        _raw.EncodeRows(_values, Rows, [_bf16]);
        Choose(Format);
    }

    [Benchmark]
    public void EncodeF32() => EncodeF32(0, Rows);

    /// <summary>The input is bf16, as in most checkpoints: widened into a tile, then encoded.</summary>
    [Benchmark]
    public void EncodeBf16() => EncodeBf16(0, Rows);

    [Benchmark]
    public void Decode() => Decode(0, Rows);

    internal static void AddTo(QuickTable table)
    {
        var bench = new NumberFormatBenchmarks();
        bench.Setup();
        float[] target = new float[Rows * Columns];
        table.Add("memcpy", "f32 copied", SliceValues * 4, SliceValues, Slices, s => bench._values.AsSpan((int)(s * SliceValues), (int)SliceValues).CopyTo(target.AsSpan((int)(s * SliceValues))));
        foreach (string format in new[] { "int4", "int8", "int4(block=128,scale=f16)", "int8(block=row)", "int4(symmetric=false)", "int3", "int4(search=mse)", "bf16", "f16", "f8e4m3fn" })
        {
            bench.Choose(format);
            table.Add($"encode {format} from f32", "f32 in", SliceValues * 4, SliceValues, Slices, s => bench.EncodeF32(s * SliceRows, SliceRows));
            if (format.StartsWith("int", StringComparison.Ordinal))
            {
                table.Add($"encode {format} from bf16", "bf16 in", SliceValues * 2, SliceValues, Slices, s => bench.EncodeBf16(s * SliceRows, SliceRows));
            }

            table.Add($"decode {format}", "f32 out", SliceValues * 4, SliceValues, Slices, s => bench.Decode(s * SliceRows, SliceRows));
        }

        bench.AddTransposeTo(table);
    }

    /// <summary>All tiles of a transposed matrix in order: over a raw tensor in memory, and over a component that gives whole rows only.</summary>
    private void AddTransposeTo(QuickTable table)
    {
        var small = new Shape(Rows, 256);
        TensorData data = TensorData.FromBytes(_bf16.AsMemory(0, Rows * 256 * 2));
        var encoding = (StructuredEncoding)Permuted.Transpose(DenseEncoding.Raw(DType.BF16, small, data));
        var reader = new RawValueReader(DType.BF16, small, data);
        foreach ((string name, IValueReader component) in new (string, IValueReader)[] { ("rectangles", reader), ("whole rows", new WholeRows(reader)) })
        {
            table.Add($"transpose bf16 [{Rows},256] in row tiles, from {name}", "f32 out", 4L * Rows * 256, Rows * 256, 1, _ =>
            {
                IValueReader transposed = ModelPack.Structures.Structures.Get(Permuted.Id).Open(encoding, [component]);
                for (int row = 0; row < 256; row += TileRows)
                {
                    transposed.ReadRows(row, TileRows, _tile);
                }
            });
        }
    }

    private void Choose(string format)
    {
        _format = NumberFormats.Bind(UnitSpec.Parse(format), Shape);
        _streams = [.. _format.Streams.Select(s => new byte[s.BytesPerRow * Rows])];
        if (!format.Contains("mse", StringComparison.Ordinal))
        {
            EncodeF32(0, Rows);
        }
    }

    private void EncodeF32(int first, int rows)
    {
        for (int row = first; row < first + rows; row += TileRows)
        {
            _format.EncodeRows(_values.AsSpan(row * Columns, TileRows * Columns), TileRows, Tile(row));
        }
    }

    private void EncodeBf16(int first, int rows)
    {
        for (int row = first; row < first + rows; row += TileRows)
        {
            _raw.DecodeRows([_bf16.AsMemory(row * Columns * 2, TileRows * Columns * 2)], TileRows, _tile);
            _format.EncodeRows(_tile, TileRows, Tile(row));
        }
    }

    private void Decode(int first, int rows)
    {
        for (int row = first; row < first + rows; row += TileRows)
        {
            Memory<byte>[] tile = Tile(row);
            var streams = new ReadOnlyMemory<byte>[tile.Length];
            for (int s = 0; s < tile.Length; s++)
            {
                streams[s] = tile[s];
            }

            _format.DecodeRows(streams, TileRows, _tile);
        }
    }

    private Memory<byte>[] Tile(int row)
    {
        var tile = new Memory<byte>[_streams.Length];
        for (int s = 0; s < tile.Length; s++)
        {
            int rowBytes = (int)_format.Streams[s].BytesPerRow;
            tile[s] = _streams[s].AsMemory(row * rowBytes, TileRows * rowBytes);
        }

        return tile;
    }

    private sealed class WholeRows(IValueReader inner) : IValueReader
    {
        public Shape Shape => inner.Shape;

        public void ReadRows(long firstRow, int rows, Span<float> destination) => inner.ReadRows(firstRow, rows, destination);
    }
}
