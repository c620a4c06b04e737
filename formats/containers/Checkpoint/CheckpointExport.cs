using ModelPack.Compiler;
using ModelPack.Containers.Safetensors;

namespace ModelPack.Containers.Checkpoint;

/// <summary>How safetensors files are written.</summary>
public sealed record CheckpointExportOptions
{
    /// <summary>Most bytes of tensors in a file of a folder; more make shards <c>model-00001-of-0000N.safetensors</c> and an index. A tensor that is larger has a file of its own.</summary>
    public long MaxShardBytes { get; init; } = CheckpointContainer.DefaultShardBytes;

    /// <summary>Keeps what is finished when writing is interrupted; null for nothing.</summary>
    public OutputJournal? Journal { get; init; }
}

/// <summary>Writes tensors and the files that go with them as a folder, or tensors alone as one file.</summary>
public static class CheckpointExport
{
    /// <summary>Writes a folder with shards and index where there are too many bytes for one file, or one <c>.safetensors</c> file where the path says so.</summary>
    /// <param name="model">A model without a graph.</param>
    /// <param name="path">A folder, or a file that ends in <c>.safetensors</c>.</param>
    /// <param name="folder">Whether it is a folder.</param>
    /// <param name="dense">Gives the bytes of a tensor in its own dtype.</param>
    /// <param name="options">Sizes and journal.</param>
    /// <param name="cancellation">Stops.</param>
    /// <returns>All files written.</returns>
    /// <exception cref="ModelPackException">MP1118 to MP1143 for what the format cannot hold, MP1157, MP1158, MP1180, MP1181, MP1005.</exception>
    public static IReadOnlyList<string> Write(Model model, string path, bool folder, Func<Tensor, TensorData> dense, CheckpointExportOptions options, CancellationToken cancellation = default) => folder
        ? CheckpointWriter.Write(model, path, dense, options.MaxShardBytes, options.Journal, cancellation)
        : SafetensorsContainer.Write(model, path, dense, options.Journal, cancellation);
}
