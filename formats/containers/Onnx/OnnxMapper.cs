using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Containers.Onnx;

/// <summary>Finds the tensor bytes in a .onnx file and in its external data files.</summary>
internal static class OnnxMapper
{
    public static IReadOnlyList<FileMap> Map(string path, CancellationToken cancellation)
    {
        MappedFile file = MappedFile.Open(path);
        var external = new ExternalFiles(path, file);
        try
        {
            var located = new Dictionary<Tensor, (MappedFile File, long OffsetBytes)>(ReferenceEqualityComparer.Instance);
            Model model = OnnxModelReader.Read(new ReadContext(file.Region(0, file.LengthBytes), file, external, cancellation)
            {
                Located = (where, tensor, offset) => located[tensor] = (where, offset),
            });
            var ranges = new Dictionary<MappedFile, List<TensorRange>>(ReferenceEqualityComparer.Instance);
            foreach ((string name, Tensor tensor) in ModelTensors.Enumerate(model))
            {
                if (located.TryGetValue(tensor, out (MappedFile File, long OffsetBytes) at))
                {
                    List<TensorRange> list = ranges.TryGetValue(at.File, out List<TensorRange>? known) ? known : ranges[at.File] = [];
                    list.Add(new TensorRange(name, tensor.DType, tensor.Shape, at.OffsetBytes, tensor.DType.StorageBytes(tensor.Shape.ElementCount)));
                }
            }

            return [.. new[] { file }.Concat(external.Opened).Select(f => new FileMap(f, Tidy(ranges.GetValueOrDefault(f) ?? [])))];
        }
        catch
        {
            external.Close();
            file.Dispose();
            throw;
        }
    }

    /// <summary>Ascending and without overlaps: tied weights share their bytes, and the first one stands for all.</summary>
    private static ImmutableArray<TensorRange> Tidy(List<TensorRange> ranges)
    {
        var tidy = ImmutableArray.CreateBuilder<TensorRange>(ranges.Count);
        long end = 0;
        foreach (TensorRange range in ranges.OrderBy(r => r.OffsetBytes).ThenByDescending(r => r.LengthBytes))
        {
            if (range.OffsetBytes >= end)
            {
                end = range.OffsetBytes + range.LengthBytes;
                tidy.Add(range);
            }
        }

        return tidy.ToImmutable();
    }
}
