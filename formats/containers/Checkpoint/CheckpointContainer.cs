using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Containers.Safetensors;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// A Hugging Face checkpoint folder: one safetensors file, or an index and its shards, with configuration and tokenizer files carried
/// along unchanged.
/// </summary>
/// <param name="maxShardBytes">Tensor bytes per file when exporting; more makes shards and an index.</param>
internal sealed class CheckpointContainer(long maxShardBytes = CheckpointContainer.DefaultShardBytes) : IContainer
{
    /// <summary>What loaders and hubs use: 5 GB.</summary>
    public const long DefaultShardBytes = 5_000_000_000;

    public string Id => "checkpoint";

    public string Summary => "folder with config.json, tokenizer and safetensors files, sharded or not";

    public bool Recognizes(string path) => CheckpointFolder.Recognizes(path);

    public ImportedModel Import(string path, CancellationToken cancellation = default) => WithFiles(path, content =>
    {
        var tensors = ImmutableArray.CreateBuilder<Tensor>();
        var metadata = ImmutableArray.CreateBuilder<KeyValuePair<string, string>>();
        var keys = new HashSet<string>(StringComparer.Ordinal);
        foreach ((MappedFile file, SafetensorsHeader header) in content.Shards)
        {
            tensors.AddRange(SafetensorsContainer.Tensors(file, header));
            metadata.AddRange(header.Metadata.Where(m => keys.Add(m.Key)));
        }

        ImmutableArray<CarriedFile> carried = [.. content.Carried.Select(c => new CarriedFile(c.Name, c.File.Region(0, c.File.LengthBytes)))];
        var model = new Model
        {
            Kind = ModelKind.Checkpoint,
            Graph = new Graph { Initializers = QuantizedWeights.Join(tensors.DrainToImmutable(), carried, path) },
            Metadata = metadata.DrainToImmutable(),
            Files = carried,
        };
        return new ImportedModel(model, [.. content.Files]);
    }, cancellation);

    public IReadOnlyList<FileMap> Map(string path, CancellationToken cancellation = default) => WithFiles<IReadOnlyList<FileMap>>(path, static content =>
    [
        .. content.Index is null ? [] : (FileMap[])[new FileMap(content.Index, [])],
        .. content.Shards.Select(s => SafetensorsContainer.Map(s.File, s.Header)),
        .. content.Carried.Select(c => new FileMap(c.File, [])),
    ], cancellation);

    public IReadOnlyList<string> Export(Model model, string path, Func<Tensor, TensorData> dense, CancellationToken cancellation = default) =>
        CheckpointWriter.Write(model, path, dense, maxShardBytes, journal: null, cancellation);

    /// <summary>Opens and checks everything, then hands the open files to <paramref name="use"/>; closes them when anything fails.</summary>
    private static T WithFiles<T>(string path, Func<CheckpointContent, T> use, CancellationToken cancellation)
    {
        var content = new CheckpointContent();
        try
        {
            content.Open(CheckpointFolder.Open(path), cancellation);
            return use(content);
        }
        catch
        {
            content.Close();
            throw;
        }
    }
}
