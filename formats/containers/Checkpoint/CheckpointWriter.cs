using System.Collections.Immutable;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using ModelPack.Compiler;
using ModelPack.Containers.Safetensors;

namespace ModelPack.Containers.Checkpoint;

/// <summary>Writes a checkpoint folder the way the stock libraries do: names, shard size and index as theirs, so that they load it.</summary>
internal static class CheckpointWriter
{
    private const string SingleFile = "model.safetensors";
    private const string IndexFile = "model.safetensors.index.json";

    /// <exception cref="ModelPackException">MP1118-MP1143 for what the format cannot hold, MP1157, MP1158, MP1180, MP1181, MP1005.</exception>
    public static IReadOnlyList<string> Write(Model model, string folder, Func<Tensor, TensorData> dense, long maxShardBytes, OutputJournal? journal, CancellationToken cancellation)
    {
        List<(string Name, ImmutableArray<Tensor> Tensors)> shards = Shards(SafetensorsContainer.TensorsToWrite(model), maxShardBytes);
        string[] names = [.. shards.Select(s => s.Name), .. shards.Count > 1 ? [IndexFile] : (string[])[], .. model.Files.Select(f => f.RelativePath)];
        CheckNames(folder, names);
        CheckNotOccupied(folder, names);

        using var files = new AtomicFiles(journal);
        files.AddFolder(folder);
        ImmutableArray<KeyValuePair<string, string>> metadata = WithFormat(model.Metadata);
        foreach ((string name, ImmutableArray<Tensor> content) in shards)
        {
            files.Add(Path.Join(folder, name), stream => SafetensorsWriter.Write(stream, content, metadata, dense, cancellation));
        }

        if (shards.Count > 1)
        {
            files.Add(Path.Join(folder, IndexFile), stream => WriteIndex(stream, shards));
        }

        foreach (CarriedFile carried in model.Files)
        {
            string path = Path.Join(folder, carried.RelativePath);
            files.AddFolder(Path.GetDirectoryName(path)!);
            files.Add(path, stream => TensorCopy.Write(stream, carried.RelativePath, carried.Data, cancellation));
        }

        files.Commit();
        return files.Paths;
    }

    /// <summary>Fills files in model order; a tensor larger than the limit gets a file of its own.</summary>
    private static List<(string Name, ImmutableArray<Tensor> Tensors)> Shards(ImmutableArray<Tensor> tensors, long maxShardBytes)
    {
        var groups = new List<ImmutableArray<Tensor>.Builder> { ImmutableArray.CreateBuilder<Tensor>() };
        long used = 0;
        foreach (Tensor tensor in tensors)
        {
            long bytes = SafetensorsWriter.LengthBytes(tensor);
            if (groups[^1].Count > 0 && bytes > maxShardBytes - used)
            {
                groups.Add(ImmutableArray.CreateBuilder<Tensor>());
                used = 0;
            }

            groups[^1].Add(tensor);
            used += bytes;
        }

        return groups.Count == 1
            ? [(SingleFile, tensors)]
            : [.. groups.Select((g, i) => (string.Create(CultureInfo.InvariantCulture, $"model-{i + 1:D5}-of-{groups.Count:D5}.safetensors"), g.DrainToImmutable()))];
    }

    /// <summary>Carried files may come from an artifact that someone else made.</summary>
    private static void CheckNames(string folder, string[] names)
    {
        var seen = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (string name in names)
        {
            ErrorCode? code = ContainedPath.Check(name) switch
            {
                ContainedPath.Problem.Absolute => ErrorCodes.CheckpointPathAbsolute,
                ContainedPath.Problem.Outside => ErrorCodes.CheckpointPathOutside,
                _ => null,
            };
            if (code is not null)
            {
                throw new ModelPackException(code.Value, $"carried file '{name}' would not lie plainly below the folder", folder);
            }

            if (!seen.Add(name))
            {
                throw new ModelPackException(ErrorCodes.CheckpointFileClash, $"two files would be named '{name}'", folder);
            }
        }
    }

    /// <summary>A loader picks by name, so a file of another checkpoint left beside the new one could be loaded in its place.</summary>
    private static void CheckNotOccupied(string folder, string[] names)
    {
        if (!Directory.Exists(folder))
        {
            return;
        }

        foreach (string path in Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileName(path);
            if ((name.EndsWith(".safetensors", StringComparison.Ordinal) || CheckpointFolder.IsIndex(name)) && !names.Contains(name, StringComparer.Ordinal))
            {
                throw new ModelPackException(ErrorCodes.CheckpointFolderOccupied, $"the folder already holds '{name}', which the new checkpoint does not replace", folder);
            }
        }
    }

    /// <summary>Loaders want to know which framework's conventions the tensors follow.</summary>
    private static ImmutableArray<KeyValuePair<string, string>> WithFormat(ImmutableArray<KeyValuePair<string, string>> metadata) =>
        metadata.Any(m => m.Key == "format") ? metadata : [new("format", "pt"), .. metadata];

    private static void WriteIndex(Stream stream, List<(string Name, ImmutableArray<Tensor> Tensors)> shards)
    {
        var weightMap = new SortedDictionary<string, string>(StringComparer.Ordinal);
        long totalBytes = 0;
        foreach ((string name, ImmutableArray<Tensor> tensors) in shards)
        {
            foreach (Tensor tensor in tensors)
            {
                weightMap.Add(tensor.Name, name);
                totalBytes += SafetensorsWriter.LengthBytes(tensor);
            }
        }

        var options = new JsonWriterOptions { Indented = true, IndentSize = 2, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var json = new Utf8JsonWriter(stream, options))
        {
            json.WriteStartObject();
            json.WriteStartObject("metadata");
            json.WriteNumber("total_size", totalBytes);
            json.WriteEndObject();
            json.WriteStartObject("weight_map");
            foreach ((string tensor, string file) in weightMap)
            {
                json.WriteString(tensor, file);
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        stream.WriteByte((byte)'\n');
    }
}
