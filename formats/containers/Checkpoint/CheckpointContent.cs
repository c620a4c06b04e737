using ModelPack.Containers.Safetensors;

namespace ModelPack.Containers.Checkpoint;

/// <summary>The open files of a checkpoint, checked against each other.</summary>
internal sealed class CheckpointContent
{
    private readonly List<MappedFile> _files = [];

    /// <summary>All open files: the main one first, then shards, then carried files.</summary>
    public IReadOnlyList<MappedFile> Files => _files;

    /// <summary>The index, or null for a checkpoint of one file.</summary>
    public MappedFile? Index { get; private set; }

    /// <summary>Files with tensors, in ordinal order of their names.</summary>
    public List<(MappedFile File, SafetensorsHeader Header)> Shards { get; } = [];

    /// <summary>Files carried along, in ordinal order of their names.</summary>
    public List<(string Name, MappedFile File)> Carried { get; } = [];

    /// <exception cref="ModelPackException">MP1001-MP1003, MP1100-MP1179.</exception>
    public void Open(CheckpointFolder folder, CancellationToken cancellation)
    {
        MappedFile main = Keep(folder.OpenFile(folder.MainFile));
        if (folder.IsSharded)
        {
            Index = main;
            OpenShards(folder, CheckpointIndex.Read(main, cancellation).WeightMap, cancellation);
        }
        else
        {
            Shards.Add((main, SafetensorsHeader.Read(main, cancellation)));
        }

        // An index may give a shard any name, also that of a carried file.
        HashSet<string> opened = [.. _files.Select(f => f.Path)];
        foreach (string name in folder.CarriedFileNames().Where(n => !opened.Contains(Path.Join(folder.Path, n))))
        {
            Carried.Add((name, Keep(folder.OpenFile(name))));
        }
    }

    /// <summary>Closes everything that was opened.</summary>
    public void Close() => _files.ForEach(f => f.Dispose());

    private void OpenShards(CheckpointFolder folder, IReadOnlyDictionary<string, string> weightMap, CancellationToken cancellation)
    {
        var firstTensor = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((string tensor, string shard) in weightMap)
        {
            firstTensor.TryAdd(shard, tensor);
        }

        var foundIn = new Dictionary<string, string>(weightMap.Count, StringComparer.Ordinal);
        foreach ((string shard, string tensor) in firstTensor)
        {
            MappedFile file = Keep(folder.OpenFile(shard, tensor));
            SafetensorsHeader header = SafetensorsHeader.Read(file, cancellation);
            Shards.Add((file, header));
            foreach (SafetensorsTensor found in header.Tensors)
            {
                long at = header.DataStartBytes + found.BeginBytes;
                if (!weightMap.ContainsKey(found.Name))
                {
                    throw new ModelPackException(ErrorCodes.TensorNotInIndex, "is not in the weight_map of the index", file.Path, found.Name, at);
                }

                if (!foundIn.TryAdd(found.Name, shard))
                {
                    throw new ModelPackException(ErrorCodes.TensorInTwoShards, $"is in '{foundIn[found.Name]}' as well", file.Path, found.Name, at);
                }
            }
        }

        foreach ((string tensor, string shard) in weightMap)
        {
            string? actual = foundIn.GetValueOrDefault(tensor);
            if (actual != shard)
            {
                string where = actual is null ? "" : $" but in '{actual}'";
                throw new ModelPackException(ErrorCodes.TensorNotInShard, $"is not in '{shard}'{where}", Index!.Path, tensor);
            }
        }
    }

    private MappedFile Keep(MappedFile file)
    {
        _files.Add(file);
        return file;
    }
}
