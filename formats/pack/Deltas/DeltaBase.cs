using System.Collections.Immutable;

namespace ModelPack.Pack;

/// <summary>The files that differences are taken from, open for reading. Dispose when nothing is read through it any more.</summary>
public sealed class DeltaBase : IDisposable
{
    private readonly ImmutableArray<IDisposable> _owned;

    private DeltaBase(string path, ImmutableArray<DeltaBaseFile> files, ImmutableArray<IDisposable> owned)
    {
        Path = path;
        Files = files;
        _owned = owned;
    }

    /// <summary>What was opened, for messages.</summary>
    public string Path { get; }

    /// <summary>The files, the main one first.</summary>
    public ImmutableArray<DeltaBaseFile> Files { get; }

    /// <summary>A file whose tensors are not known, as one tensor of bytes: two versions of equal length can be compared so.</summary>
    public static PackedFileRange WholeFile(long lengthBytes) => new("bytes", DType.U8, new Shape(lengthBytes), 0, lengthBytes);

    /// <summary>Files as they lie on the disk; the base closes them from now on.</summary>
    /// <param name="path">For messages.</param>
    /// <param name="files">The files, the main one first.</param>
    /// <param name="cancellation">Stops; every byte is read once for its hash.</param>
    /// <exception cref="ModelPackException">MP1002, MP1003: a file cannot be read.</exception>
    public static DeltaBase OfFiles(string path, IReadOnlyList<PackedFileSource> files, CancellationToken cancellation = default)
    {
        ImmutableArray<IDisposable> owned = [.. files.Select(f => f.File)];
        try
        {
            return new DeltaBase(
                path, [.. files.Select(f => new DeltaBaseFile(f.RelativePath, f.File.Region(0, f.File.LengthBytes), DataHash.Sha256(f.File.Region(0, f.File.LengthBytes), cancellation), f.Ranges))], owned);
        }
        catch
        {
            Close(owned);
            throw;
        }
    }

    /// <summary>Files inside an artifact made by <c>pack</c>: they need not be unpacked first.</summary>
    /// <param name="path">The artifact.</param>
    /// <exception cref="ModelPackException">MP1312 it holds no files, MP1313 its table is damaged, MP1315 it is a delta itself; MP130x as <see cref="PackReader.Open(string)"/>.</exception>
    public static DeltaBase OfPacked(string path)
    {
        PackReader reader = PackReader.Open(path);
        try
        {
            FileTable table = FileTable.Read(reader);
            return new DeltaBase(path, [.. table.Files.Select(f => new DeltaBaseFile(f.Path, new RestoredFileData(f), f.Sha256, f.Tensors.IsEmpty && f.LengthBytes > 0 ? [WholeFile(f.LengthBytes)] : [.. f.Tensors.Select(Range)]))], [reader]);
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    /// <summary>Opens what a delta names as its base and checks that it is that.</summary>
    /// <param name="record">What the delta says.</param>
    /// <param name="path">The main file, the folder of a checkpoint, or an artifact that holds the files.</param>
    /// <param name="cancellation">Stops the hashing.</param>
    /// <exception cref="ModelPackException">MP1316: not the base; otherwise as the other methods.</exception>
    internal static DeltaBase Open(BaseRecord record, string path, CancellationToken cancellation)
    {
        if (File.Exists(path) && PackReader.IsArtifact(path))
        {
            return Matching(record, OfPacked(path));
        }

        bool folder = Directory.Exists(path);
        string root = folder ? path : System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path)) ?? ".";
        var files = new List<PackedFileSource>();
        try
        {
            for (int i = 0; i < record.Files.Length; i++)
            {
                BaseRecord.FileEntry entry = record.Files[i];
                MappedFile file = MappedFile.Open(i == 0 && !folder ? path : System.IO.Path.Combine(root, entry.Path));
                files.Add(new PackedFileSource(entry.Path, file, []));
                if (file.LengthBytes != entry.LengthBytes)
                {
                    throw Wrong(file.Path, entry, $"has {file.LengthBytes} bytes");
                }
            }
        }
        catch
        {
            Close([.. files.Select(f => (IDisposable)f.File)]);
            throw;
        }

        return Matching(record, OfFiles(path, files, cancellation));
    }

    public void Dispose() => Close(_owned);

    /// <summary>Keeps the files that the record names, in its order.</summary>
    private static DeltaBase Matching(BaseRecord record, DeltaBase found)
    {
        var files = ImmutableArray.CreateBuilder<DeltaBaseFile>(record.Files.Length);
        foreach (BaseRecord.FileEntry entry in record.Files)
        {
            DeltaBaseFile? file = found.Files.FirstOrDefault(f => f.Sha256 == entry.Sha256 && f.Data.LengthBytes == entry.LengthBytes);
            if (file is null)
            {
                found.Dispose();
                string has = found.Files.FirstOrDefault(f => f.RelativePath == entry.Path)?.Sha256 ?? found.Files[0].Sha256;
                throw Wrong(found.Path, entry, $"has SHA-256 {has}");
            }

            files.Add(file);
        }

        return new DeltaBase(found.Path, files.MoveToImmutable(), found._owned);
    }

    private static ModelPackException Wrong(string path, BaseRecord.FileEntry entry, string what) => new(
        ErrorCodes.ArtifactBaseWrong, $"is not the base: '{entry.Path}' had {entry.LengthBytes} bytes and SHA-256 {entry.Sha256}, this {what}", path);

    /// <summary>What is in a number format counts as bytes, as it does on the other side.</summary>
    private static PackedFileRange Range(FileTable.TensorEntry entry) => entry.Tensor.Encoding is StructuredEncoding || RawEncodings.TryGet(entry.Tensor.Encoding, out _, out _)
        ? new(entry.Tensor.Name, entry.Tensor.DType, entry.Tensor.Shape, entry.OffsetBytes, entry.Data.LengthBytes)
        : new(entry.Tensor.Name, DType.U8, new Shape(entry.Data.LengthBytes), entry.OffsetBytes, entry.Data.LengthBytes);

    private static void Close(ImmutableArray<IDisposable> owned)
    {
        foreach (IDisposable item in owned)
        {
            item.Dispose();
        }
    }
}
