using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Onnx;

/// <summary>The committed sample: a Llama whose external data lies inside a safetensors file.</summary>
public sealed class OnnxSampleModelTests
{
    private static readonly string Sample = RepositoryTree.PathTo("samples", "models", "tinyllama", "model.onnx");

    [Fact]
    public void Export_of_the_sample_keeps_every_field_and_value()
    {
        using var folder = new TempFolder();
        using ImportedModel imported = OnnxModelReader.Import(Sample);
        IReadOnlyList<string> files = OnnxModelWriter.Write(imported.Model, folder["copy.onnx"], Dense);
        Assert.Equal([folder["copy.onnx"]], files);
        OnnxSemantics.AssertSame(Sample, folder["copy.onnx"]);
    }

    [Fact]
    public void Export_with_external_weights_keeps_every_field_and_value()
    {
        using var folder = new TempFolder();
        using ImportedModel imported = OnnxModelReader.Import(Sample);
        IReadOnlyList<string> files = OnnxModelWriter.Write(imported.Model, folder["copy.onnx"], Dense, new OnnxExportOptions { Weights = OnnxWeights.External });
        Assert.Equal([folder["copy.onnx"], folder["copy.onnx.data"]], files);
        Assert.True(new FileInfo(files[0]).Length < 1 << 20);
        OnnxSemantics.AssertSame(Sample, folder["copy.onnx"]);
    }

    [Fact]
    public void Map_of_the_sample_covers_both_files()
    {
        IReadOnlyList<FileMap> maps = new OnnxContainer().Map(Sample);
        try
        {
            Assert.Equal(["model.onnx", "model.safetensors"], maps.Select(m => Path.GetFileName(m.File.Path)));
            Assert.All(maps[1].Ranges, r => Assert.Equal(r.LengthBytes, r.DType.StorageBytes(r.Shape.ElementCount)));
            Assert.True(maps[1].Ranges.Sum(r => r.LengthBytes) > maps[1].File.LengthBytes * 9 / 10);
            foreach (FileMap map in maps)
            {
                Assert.Equal(map.Ranges.Length, map.Ranges.Select(r => r.Name).Distinct().Count());
                long end = 0;
                foreach (TensorRange range in map.Ranges)
                {
                    Assert.True(range.OffsetBytes >= end && range.LengthBytes > 0);
                    end = range.OffsetBytes + range.LengthBytes;
                }

                Assert.True(end <= map.File.LengthBytes);
            }
        }
        finally
        {
            foreach (FileMap map in maps)
            {
                map.File.Dispose();
            }
        }
    }

    private static TensorData Dense(Tensor tensor)
    {
        Assert.True(tensor.TryGetRawData(out TensorData data));
        return data;
    }
}
