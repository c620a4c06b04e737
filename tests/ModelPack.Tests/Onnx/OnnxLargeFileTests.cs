using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Testing;
using Xunit;
using static ModelPack.Tests.Onnx.Wire;

namespace ModelPack.Tests.Onnx;

/// <summary>Weights never reach the managed heap.</summary>
public sealed class OnnxLargeFileTests
{
    private const long WeightBytes = 1_900_000_000;
    private const long AllocationLimitBytes = 100_000_000;

    [SkippableTheory]
    [InlineData(9)]
    [InlineData(4)]
    public void Import_of_1_9_GB_inside_the_file_allocates_little(int field)
    {
        using var folder = new TempFolder();
        string path = folder["large.onnx"];
        // The file ends with the weight; all before it is small.
        byte[] tensor = Join(Text(8, "w"), Number(2, 1), Number(1, WeightBytes / 4), Tag(field, 2), Varint(WeightBytes));
        byte[] initializer = Join(Tag(5, 2), Varint((ulong)(tensor.Length + WeightBytes)), tensor);
        byte[] head = Join(Number(1, 8), Message(8, Number(2, 17)), Tag(7, 2), Varint((ulong)(initializer.Length + WeightBytes)), initializer);
        try
        {
            SparseFile.Create(path, head.Length + WeightBytes, (0, head), (head.Length + WeightBytes - 4, [1, 2, 3, 4]));
        }
        catch (IOException e)
        {
            Skip.If(true, $"the file system has no room for sparse files: {e.Message}");
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        using (ImportedModel imported = OnnxModelReader.Import(path))
        {
            TensorData data = OnnxRoundTrip.Dense(Assert.Single(imported.Model.Graph.Initializers));
            Assert.Equal(WeightBytes, data.LengthBytes);
            byte[] end = new byte[8];
            data.Read(WeightBytes - 8, end);
            Assert.Equal([0, 0, 0, 0, 1, 2, 3, 4], end);
        }

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, AllocationLimitBytes);
    }

    [SkippableFact]
    public void Import_beyond_2_GiB_inside_the_file_works_though_protobuf_could_not()
    {
        using var folder = new TempFolder();
        const long Bytes = 5_000_000_000;
        byte[] tensor = Join(Text(8, "w"), Number(2, 2), Number(1, Bytes), Tag(9, 2), Varint(Bytes));
        byte[] initializer = Join(Tag(5, 2), Varint((ulong)(tensor.Length + Bytes)), tensor);
        byte[] head = Join(Number(1, 8), Tag(7, 2), Varint((ulong)(initializer.Length + Bytes + 5)), initializer);
        try
        {
            SparseFile.Create(folder["large.onnx"], head.Length + Bytes + 5, (0, head), (head.Length + Bytes, Text(2, "end")));
        }
        catch (IOException e)
        {
            Skip.If(true, $"the file system has no room for sparse files: {e.Message}");
        }

        using ImportedModel imported = OnnxModelReader.Import(folder["large.onnx"]);
        Assert.Equal("end", imported.Model.Graph.Name);
        Assert.Equal(Bytes, OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[0]).LengthBytes);
    }

    [Fact]
    public void Export_allocates_little_for_large_weights()
    {
        using var folder = new TempFolder();
        const int Bytes = 64 << 20;
        SparseFile.Create(folder["w.bin"], Bytes);
        using MappedFile file = MappedFile.Open(folder["w.bin"]);
        Tensor weight = Tensor.Raw("w", DType.F32, new Shape(Bytes / 4), file.Region(0, Bytes));
        var model = new Model { Kind = ModelKind.Onnx, IrVersion = 8, Graph = new Graph { Name = "g", Initializers = [weight] } };
        long before = GC.GetAllocatedBytesForCurrentThread();
        OnnxModelWriter.Write(model, folder["out.onnx"], OnnxRoundTrip.Dense);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
        Assert.InRange(new FileInfo(folder["out.onnx"]).Length, Bytes, Bytes + 100);
    }
}
