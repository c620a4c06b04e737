using System.Collections.Immutable;
using System.Text.Json;

namespace ModelPack.Pack;

/// <summary>The table of an artifact that holds files, checked against what is stored.</summary>
internal sealed record FileTable(bool Folder, ImmutableArray<FileTable.Entry> Files)
{
    private const int LimitBytes = 256 << 20;

    /// <summary>One file.</summary>
    /// <param name="Path">Relative path.</param>
    /// <param name="LengthBytes">Length.</param>
    /// <param name="Sha256">Hash in lower-case hexadecimal.</param>
    /// <param name="Framing">Bytes between the tensors.</param>
    /// <param name="FramingChunkBytes">Pieces of it that are best read at once.</param>
    /// <param name="Tensors">Tensors and where they go, ascending.</param>
    internal sealed record Entry(string Path, long LengthBytes, string Sha256, TensorData Framing, int FramingChunkBytes, ImmutableArray<TensorEntry> Tensors);

    /// <summary>A tensor in a file.</summary>
    /// <param name="Tensor">The tensor.</param>
    /// <param name="Data">Its bytes in the file.</param>
    /// <param name="ChunkBytes">Pieces that are best read at once.</param>
    /// <param name="OffsetBytes">Where it begins.</param>
    internal readonly record struct TensorEntry(PackTensor Tensor, TensorData Data, int ChunkBytes, long OffsetBytes)
    {
        public long EndBytes => OffsetBytes + Data.LengthBytes;
    }

    /// <exception cref="ModelPackException">MP1312 no packed files, MP1313 the table is damaged, MP1309 its stream is, MP1315 the files are stored as differences and the base is missing.</exception>
    public static FileTable Read(PackReader reader)
    {
        if (!reader.Blobs.TryGetValue(FilePacker.TableBlob, out TensorData? blob) || reader.Metadata.GetValueOrDefault("kind") != "files")
        {
            throw new ModelPackException(ErrorCodes.ArtifactNotFiles, "does not hold packed files", reader.File.Path);
        }

        try
        {
            if (blob.LengthBytes > LimitBytes)
            {
                throw new FormatException("it is too long");
            }

            using JsonDocument json = JsonDocument.Parse(blob.ToArray(LimitBytes), new JsonDocumentOptions { MaxDepth = 16, AllowDuplicateProperties = false });
            JsonElement root = json.RootElement;
            if (root.GetProperty("version"u8).GetInt32() != 1)
            {
                throw new FormatException("its version is not 1");
            }

            var paths = new HashSet<string>(StringComparer.Ordinal);
            ImmutableArray<Entry> files = [.. root.GetProperty("files"u8).EnumerateArray().Select(f => ReadEntry(f, reader, paths))];
            return files.IsEmpty ? throw new FormatException("it has no file") : new FileTable(root.GetProperty("folder"u8).GetBoolean(), files);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException or OverflowException)
        {
            throw new ModelPackException(ErrorCodes.ArtifactFileTable, $"the file table is not what it must be: {e.Message}", reader.File.Path, innerException: e);
        }
    }

    private static Entry ReadEntry(JsonElement json, PackReader reader, HashSet<string> paths)
    {
        string path = json.GetProperty("path"u8).GetString() ?? "";
        long bytes = json.GetProperty("bytes"u8).GetInt64();
        string sha256 = json.GetProperty("sha256"u8).GetString() ?? "";
        if (!RestorePaths.IsSafe(path) || !paths.Add(path))
        {
            throw new FormatException($"path '{path}' leaves the destination or is there twice");
        }

        if (sha256.Length != 64 || !reader.Blobs.TryGetValue(json.GetProperty("framing"u8).GetString() ?? "", out TensorData? framing))
        {
            throw new FormatException($"file '{path}' has no hash or no framing");
        }

        var tensors = ImmutableArray.CreateBuilder<TensorEntry>();
        long end = 0;
        long covered = framing.LengthBytes;
        foreach (JsonElement pair in json.GetProperty("tensors"u8).EnumerateArray())
        {
            int index = pair[0].GetInt32();
            long offset = pair[1].GetInt64();
            if ((uint)index >= (uint)reader.Tensors.Count || reader.Tensors[index].Streams.IsEmpty || offset < end)
            {
                throw new FormatException($"file '{path}' has no tensor {index} at {offset}");
            }

            // The streams as they are in the file, or values that a structure puts together.
            PackTensor tensor = reader.Tensors[index];
            TensorData inFile = reader.FileBytes(tensor);
            end = checked(offset + inFile.LengthBytes);
            covered = checked(covered + inFile.LengthBytes);
            int step = tensor.Encoding is StructuredEncoding && tensor.Streams.Length > 1 ? PackLayout.ChunkBytes : tensor.Streams.Max(s => s.Stream.ChunkBytes);
            tensors.Add(new TensorEntry(tensor, inFile, step, offset));
        }

        return covered == bytes && end <= bytes
            ? new Entry(path, bytes, sha256, framing, framing is ChunkedTensorData chunked ? chunked.ChunkBytes : PackLayout.ChunkBytes, tensors.DrainToImmutable())
            : throw new FormatException($"file '{path}' has {bytes} bytes but {covered} are stored");
    }
}
