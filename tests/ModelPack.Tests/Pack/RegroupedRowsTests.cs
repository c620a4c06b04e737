using System.Runtime.InteropServices;
using ModelPack.Pack;
using ModelPack.Structures;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>Formats whose coded rows are several rows of the tensor, or all of it: written, read in parts, decoded in bulk, transposed, written again.</summary>
public sealed class RegroupedRowsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("modelpack-regrouped-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("palette", 96, 40)]
    [InlineData("palette(group=row)", 96, 40)]
    [InlineData("palette(group=8)", 96, 40)]
    [InlineData("palette(bits=8,group=32,entries=f16)", 4096, 700)]
    [InlineData("palette(bits=3,group=4096)", 3000, 50)]
    [InlineData("palette(bits=3,group=7)", 97, 31)]
    [InlineData("gguf-q8_0", 30, 33)]
    public void Values_are_the_same_however_they_are_read(string spec, int rows, int columns)
    {
        var shape = new Shape(rows, columns);
        WeightEncoding source = PackSamples.Raw("s", DType.F32, shape, PackSamples.F32(7, rows * columns)).Encoding;
        var pending = DenseEncoding.Pending(UnitSpec.Parse(spec), source);
        var transposed = new StructuredEncoding(new UnitSpec(Permuted.Id, ("perm", "1x0")), new Shape(columns, rows), [pending]);
        var content = PackContent.Empty with
        {
            Tensors = [new PackTensorContent("w", DType.F32, shape, pending), new PackTensorContent("t", DType.F32, transposed.Shape, transposed)],
        };
        string path = Path.Combine(_folder, "a.mpack");
        PackResult result = PackWriter.Write(path, content, new PackOptions { Threads = 3 });
        Assert.InRange(result.Tensors[0].RelativeError!.Value, 1e-6, 0.4);
        float[] expected = Read(EncodingValues.Open(pending), rows);

        using PackReader reader = PackReader.Open(path);
        PackTensor tensor = reader.Find("w")!;
        IValueReader values = EncodingValues.Open(tensor.Encoding);
        Assert.Equal(shape, values.Shape);
        Assert.Equal(expected, Read(values, rows));
        Assert.Equal(expected, Read(values, 5));
        Assert.Equal(expected[^(3 * columns)..], ReadSome(values, rows - 3, 3));
        Assert.Equal(expected, Dense(reader, tensor));

        float[] back = Dense(reader, reader.Find("t")!);
        Assert.All(Enumerable.Range(0, 500), i => Assert.Equal(expected[(i * 7919 % rows * columns) + (i % columns)], back[(i % columns * rows) + (i * 7919 % rows)]));

        // Encoded streams packed again.
        string again = Path.Combine(_folder, "b.mpack");
        PackWriter.Write(again, PackContent.Empty with { Tensors = [new PackTensorContent("w", DType.F32, shape, tensor.Encoding)] }, new PackOptions());
        using PackReader second = PackReader.Open(again);
        Assert.Equal(expected, Read(EncodingValues.Open(second.Find("w")!.Encoding), rows));
    }

    private static float[] Dense(PackReader reader, PackTensor tensor)
    {
        byte[] bytes = new byte[tensor.Shape.ElementCount * sizeof(float)];
        unsafe
        {
            fixed (byte* to = bytes)
            {
                reader.DecodeDense(tensor, DType.F32, (nint)to, bytes.Length, threads: 3);
            }
        }

        return MemoryMarshal.Cast<byte, float>(bytes).ToArray();
    }

    private static float[] Read(IValueReader values, int step)
    {
        var all = new List<float>();
        for (long first = 0; first < values.Shape.Rows; first += step)
        {
            all.AddRange(ReadSome(values, first, (int)Math.Min(step, values.Shape.Rows - first)));
        }

        return [.. all];
    }

    private static float[] ReadSome(IValueReader values, long first, int rows)
    {
        float[] part = new float[rows * values.Shape.Columns];
        values.ReadRows(first, rows, part);
        return part;
    }
}
