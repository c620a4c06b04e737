using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using ModelPack.Numbers;

namespace ModelPack.Pack;

/// <summary>
/// Packs files so that they come back byte for byte: tensors coded by dtype and shared where equal, everything between them as one stream per file, and a table
/// of what goes where with the SHA-256 of every file.
/// </summary>
public static class FilePacker
{
    /// <summary>Name of the blob that holds the table.</summary>
    public const string TableBlob = "files";

    private const string FramingPrefix = "framing:";

    /// <summary>Writes an artifact that holds <paramref name="files"/>; the first is the main one.</summary>
    /// <param name="outputPath">The artifact.</param>
    /// <param name="files">At least one file.</param>
    /// <param name="options">How to write.</param>
    /// <param name="folder">True when the files are a folder: they are restored into a folder instead of around a main file.</param>
    /// <param name="against">Tensors that also occur in these files, changed or not, are stored as differences where that is smaller; null for none.</param>
    /// <exception cref="ModelPackException">MP4006 a path or range that is not valid; otherwise as <see cref="PackWriter"/>.</exception>
    public static PackResult Write(string outputPath, IReadOnlyList<PackedFileSource> files, PackOptions options, bool folder = false, DeltaBase? against = null)
    {
        DeltaPlanner? planner = against is null ? null : new DeltaPlanner(against, options);
        var tensors = ImmutableArray.CreateBuilder<PackTensorContent>();
        var blobs = ImmutableArray.CreateBuilder<KeyValuePair<string, TensorData>>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        var paths = new HashSet<string>(StringComparer.Ordinal);
        var table = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(table, HeaderJson.WriterOptions);
        json.WriteStartObject();
        json.WriteNumber("version", 1);
        json.WriteBoolean("folder", folder);
        json.WriteStartArray("files");
        foreach (PackedFileSource file in files)
        {
            Check(file, paths);
            json.WriteStartObject();
            json.WriteString("path", file.RelativePath);
            json.WriteNumber("bytes", file.File.LengthBytes);
            json.WriteString("sha256", DataHash.Sha256(file.File.Region(0, file.File.LengthBytes), options.Cancellation));
            json.WriteString("framing", FramingPrefix + file.RelativePath);
            json.WriteStartArray("tensors");
            foreach (PackedFileRange range in file.Ranges)
            {
                json.WriteStartArray();
                json.WriteNumberValue(tensors.Count);
                json.WriteNumberValue(range.OffsetBytes);
                json.WriteEndArray();
                PackTensorContent tensor = Tensor(file, range, names);
                tensors.Add(planner?.Plan(tensors.Count, range.Name, tensor) ?? Sparse(tensor, options) ?? tensor);
            }

            json.WriteEndArray();
            json.WriteEndObject();
            blobs.Add(KeyValuePair.Create<string, TensorData>(FramingPrefix + file.RelativePath, new FramingData(file)));
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        blobs.Add(KeyValuePair.Create(TableBlob, TensorData.FromBytes(table.WrittenMemory)));
        ImmutableSortedDictionary<string, string> metadata = PackContent.Empty.Metadata.Add("kind", "files");
        if (planner?.Record() is BaseRecord record)
        {
            blobs.Add(KeyValuePair.Create(BaseRecord.Blob, TensorData.FromBytes(record.ToJson())));
            metadata = metadata.Add("base", record.Files[0].Path);
        }

        PackContent content = PackContent.Empty with { Tensors = tensors.DrainToImmutable(), Blobs = blobs.DrainToImmutable(), Metadata = metadata };
        return PackWriter.Write(outputPath, content, options);
    }

    private static void Check(PackedFileSource file, HashSet<string> paths)
    {
        if (!RestorePaths.IsSafe(file.RelativePath) || !paths.Add(file.RelativePath))
        {
            throw new ModelPackException(ErrorCodes.PackFileMap, $"'{file.RelativePath}' is not a relative path inside a folder, or is there twice", file.File.Path);
        }

        long end = 0;
        foreach (PackedFileRange range in file.Ranges)
        {
            if (range.OffsetBytes < end || range.LengthBytes <= 0 || range.LengthBytes > file.File.LengthBytes - range.OffsetBytes)
            {
                throw new ModelPackException(
                    ErrorCodes.PackFileMap, $"{range.LengthBytes} bytes overlap another tensor or leave the file", file.File.Path, range.Name, range.OffsetBytes);
            }

            end = range.OffsetBytes + range.LengthBytes;
        }
    }

    private static PackTensorContent Tensor(PackedFileSource file, PackedFileRange range, HashSet<string> names)
    {
        string name = range.Name;
        for (int i = 2; !names.Add(name); i++)
        {
            name = string.Create(CultureInfo.InvariantCulture, $"{range.Name}~{i}");
        }

        // A range that is not what its dtype and shape say is stored as bytes: packing must not depend on the container being right.
        TensorData data = file.File.Region(range.OffsetBytes, range.LengthBytes);
        if (Encoded(range, data) is DenseEncoding encoded)
        {
            return new PackTensorContent(name, range.DType, range.Shape, encoded) { Records = range.Records };
        }

        bool fits = range.Format is null && range.Shape.TryElementCount(out long count) && range.DType.TryStorageBytes(count, out long bytes) && bytes == range.LengthBytes;
        DType dtype = fits ? range.DType : DType.U8;
        Shape shape = fits ? range.Shape : new Shape(range.LengthBytes);
        return new PackTensorContent(name, dtype, shape, DenseEncoding.Raw(dtype, shape, data)) { Records = range.Records };
    }

    /// <summary>The tensor as a sparse matrix, if it is one and smaller that way.</summary>
    private static PackTensorContent? Sparse(PackTensorContent tensor, PackOptions options) =>
        SparsityDetector.Find(tensor.Encoding, options.Level, options.Portable, options.Cancellation) is WeightEncoding sparse ? tensor with { Encoding = sparse } : null;

    /// <summary>The bytes in their number format, if its streams have exactly that length together.</summary>
    private static DenseEncoding? Encoded(PackedFileRange range, TensorData data)
    {
        if (range.Format is not string format || !range.Shape.TryElementCount(out long count) || count == 0)
        {
            return null;
        }

        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse(format), range.Shape);
        var streams = new List<EncodedStream>(bound.Streams.Count);
        Int128 at = 0;
        foreach (StreamLayout layout in bound.Streams)
        {
            Int128 bytes = bound.Shape.Rows * (Int128)layout.BytesPerRow;
            if (!layout.HasFixedLength || layout.BytesPerRow > PackLayout.ChunkBytes || at + bytes > range.LengthBytes)
            {
                return null;
            }

            streams.Add(new EncodedStream(layout.Role, bytes == 0 ? TensorData.Empty : data.Slice((long)at, (long)bytes)));
            at += bytes;
        }

        return at == range.LengthBytes ? new DenseEncoding(bound.Spec, range.Shape, [.. streams]) : null;
    }
}
