using System.Buffers;
using System.Collections.Immutable;
using System.Text.Json;

namespace ModelPack.Pack;

/// <summary>What an artifact says about the base of its differences: which files, and where in them each tensor's base lies. Blob <c>base</c>.</summary>
/// <param name="Files">The files, the main one first.</param>
/// <param name="Tensors">Per tensor that is stored as differences: its number, the number of the base file, and the offset in it.</param>
public sealed record BaseRecord(ImmutableArray<BaseRecord.FileEntry> Files, ImmutableArray<BaseRecord.TensorEntry> Tensors)
{
    /// <summary>Name of the blob.</summary>
    public const string Blob = "base";

    private const int LimitBytes = 256 << 20;

    /// <summary>A file of the base.</summary>
    /// <param name="Path">Relative path.</param>
    /// <param name="LengthBytes">Length.</param>
    /// <param name="Sha256">Hash in lower-case hexadecimal.</param>
    public readonly record struct FileEntry(string Path, long LengthBytes, string Sha256);

    /// <summary>Where the base of a tensor lies.</summary>
    /// <param name="Tensor">Number of the tensor in the artifact.</param>
    /// <param name="File">Number of the file in <see cref="Files"/>.</param>
    /// <param name="OffsetBytes">Offset in that file.</param>
    public readonly record struct TensorEntry(int Tensor, int File, long OffsetBytes);

    /// <summary>The record of an artifact, or null when it needs no base.</summary>
    /// <exception cref="ModelPackException">MP1317: the record is damaged.</exception>
    public static BaseRecord? Read(PackReader reader)
    {
        if (!reader.Blobs.TryGetValue(Blob, out TensorData? blob))
        {
            return null;
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

            ImmutableArray<FileEntry> files = [.. root.GetProperty("files"u8).EnumerateArray().Select(ReadFile)];
            var tensors = ImmutableArray.CreateBuilder<TensorEntry>();
            foreach (JsonElement item in root.GetProperty("tensors"u8).EnumerateArray())
            {
                tensors.Add(ReadTensor(item, reader, files, tensors));
            }

            return files.IsEmpty ? throw new FormatException("it names no file") : new BaseRecord(files, tensors.DrainToImmutable());
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException or OverflowException)
        {
            throw new ModelPackException(ErrorCodes.ArtifactBaseRecord, $"the record of its base is not what it must be: {e.Message}", reader.File.Path, innerException: e);
        }
    }

    /// <summary>The record as text.</summary>
    internal byte[] ToJson()
    {
        var text = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(text, HeaderJson.WriterOptions);
        json.WriteStartObject();
        json.WriteNumber("version", 1);
        json.WriteStartArray("files");
        foreach (FileEntry file in Files)
        {
            json.WriteStartObject();
            json.WriteString("path", file.Path);
            json.WriteNumber("bytes", file.LengthBytes);
            json.WriteString("sha256", file.Sha256);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("tensors");
        foreach (TensorEntry tensor in Tensors)
        {
            json.WriteStartArray();
            json.WriteNumberValue(tensor.Tensor);
            json.WriteNumberValue(tensor.File);
            json.WriteNumberValue(tensor.OffsetBytes);
            json.WriteEndArray();
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return text.WrittenSpan.ToArray();
    }

    private static FileEntry ReadFile(JsonElement json)
    {
        string path = json.GetProperty("path"u8).GetString() ?? "";
        long bytes = json.GetProperty("bytes"u8).GetInt64();
        string sha256 = json.GetProperty("sha256"u8).GetString() ?? "";
        return RestorePaths.IsSafe(path) && bytes >= 0 && sha256.Length == 64
            ? new FileEntry(path, bytes, sha256)
            : throw new FormatException($"file '{path}' leaves the base's folder, or has no length or hash");
    }

    private static TensorEntry ReadTensor(JsonElement json, PackReader reader, ImmutableArray<FileEntry> files, ImmutableArray<TensorEntry>.Builder before)
    {
        var entry = new TensorEntry(json[0].GetInt32(), json[1].GetInt32(), json[2].GetInt64());
        bool known = (uint)entry.Tensor < (uint)reader.Tensors.Count
            && reader.Tensors[entry.Tensor] is { Encoding: StructuredEncoding { Structure.Id: Structures.Delta.Id }, Streams: [_] }
            && (before.Count == 0 || before[^1].Tensor < entry.Tensor)
            && (uint)entry.File < (uint)files.Length;
        long bytes = known ? reader.Tensors[entry.Tensor].Streams[0].Stream.LengthBytes : 0;
        return known && entry.OffsetBytes >= 0 && bytes <= files[entry.File].LengthBytes - entry.OffsetBytes
            ? entry
            : throw new FormatException($"tensor {entry.Tensor} has no base at {entry.OffsetBytes} of file {entry.File}");
    }
}
