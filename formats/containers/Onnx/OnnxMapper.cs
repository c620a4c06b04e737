using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Containers.Onnx;

/// <summary>Finds the tensor bytes in a .onnx file and in its external data files.</summary>
internal static class OnnxMapper
{
    public static IReadOnlyList<FileMap> Map(string path, CancellationToken cancellation)
    {
        MappedFile file = MappedFile.Open(path);
        var external = new ExternalFiles(path);
        try
        {
            var found = new Dictionary<MappedFile, List<TensorRange>>(ReferenceEqualityComparer.Instance) { [file] = [] };
            OnnxModelReader.Read(new ReadContext(file.Region(0, file.LengthBytes), file, external, cancellation)
            {
                Located = (where, tensor, offset) => Add(found, where, tensor, offset),
            });
            return [.. new[] { file }.Concat(external.Opened).Select(f => new FileMap(f, Tidy(found.GetValueOrDefault(f) ?? [])))];
        }
        catch
        {
            external.Close();
            file.Dispose();
            throw;
        }
    }

    private static void Add(Dictionary<MappedFile, List<TensorRange>> found, MappedFile file, Tensor tensor, long offset)
    {
        if (!found.TryGetValue(file, out List<TensorRange>? ranges))
        {
            found[file] = ranges = [];
        }

        ranges.Add(new TensorRange(tensor.Name, tensor.DType, tensor.Shape, offset, tensor.DType.StorageBytes(tensor.Shape.ElementCount)));
    }

    /// <summary>Ascending, without overlaps (tied weights share their bytes: the first one stands for all), with unique names.</summary>
    private static ImmutableArray<TensorRange> Tidy(List<TensorRange> ranges)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var tidy = ImmutableArray.CreateBuilder<TensorRange>(ranges.Count);
        long end = 0;
        foreach (TensorRange range in ranges.OrderBy(r => r.OffsetBytes).ThenByDescending(r => r.LengthBytes))
        {
            if (range.OffsetBytes < end)
            {
                continue;
            }

            end = range.OffsetBytes + range.LengthBytes;
            string name = range.Name;
            for (int n = 2; !names.Add(name); n++)
            {
                name = string.Create(CultureInfo.InvariantCulture, $"{range.Name}~{n}");
            }

            tidy.Add(range with { Name = name });
        }

        return tidy.ToImmutable();
    }
}
