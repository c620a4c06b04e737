using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>A checkpoint folder as its files have it: tensors by name, nothing joined, and configuration files.</summary>
internal sealed class CheckpointFiles : IDisposable
{
    private const int MaxBytes = 256 << 20;

    private readonly IReadOnlyList<FileMap> _maps;
    private readonly string _folder;

    private CheckpointFiles(IReadOnlyList<FileMap> maps, string folder)
    {
        _maps = maps;
        _folder = folder;
        foreach (FileMap map in maps)
        {
            foreach (TensorRange range in map.Ranges)
            {
                Tensors[range.Name] = new CheckedTensor(range.Name, range.DType, range.Shape, map.File.Region(range.OffsetBytes, range.LengthBytes));
            }
        }
    }

    /// <summary>Tensors with at least one byte, by name.</summary>
    public SortedDictionary<string, CheckedTensor> Tensors { get; } = new(StringComparer.Ordinal);

    /// <summary>Opens a folder.</summary>
    /// <exception cref="ModelPackException">MP1001 to MP1163: a file is missing or damaged.</exception>
    public static CheckpointFiles Open(string path, CancellationToken cancellation)
    {
        IContainer container = Containers.Containers.Get("checkpoint");
        return new CheckpointFiles(container.Map(path, cancellation), Directory.Exists(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    /// <summary>A JSON object among the files; null when it is not there or no such object.</summary>
    public JsonObject? Json(string name, Findings? findings = null)
    {
        string path = Path.Combine(_folder, name);
        if (!File.Exists(path) || new FileInfo(path).Length > MaxBytes)
        {
            return null;
        }

        try
        {
            // Counting the properties finds names that are there twice.
            JsonNode? node = JsonNode.Parse(File.ReadAllBytes(path));
            if (node is JsonObject json && json.Count >= 0)
            {
                return json;
            }

            findings?.Error("config-not-json", $"{name} is not a JSON object");
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            findings?.Error("config-not-json", $"{name} is not JSON: {e.Message}");
        }

        return null;
    }

    /// <summary>Whether a file is there.</summary>
    public bool Has(string name) => File.Exists(Path.Combine(_folder, name));

    public void Dispose()
    {
        foreach (FileMap map in _maps)
        {
            map.File.Dispose();
        }
    }
}
