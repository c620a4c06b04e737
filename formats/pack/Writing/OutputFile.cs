using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace ModelPack.Pack;

/// <summary>
/// A file that appears under its name only when it is complete: written beside it under a temporary name, flushed to the disk, renamed. Disposed
/// without <see cref="Commit"/>, it leaves nothing, or what a journal knows of, and an existing file of that name stays as it was.
/// </summary>
internal sealed class OutputFile : IDisposable
{
    private readonly string _path;
    private readonly string _temporaryPath;
    private readonly SafeFileHandle _handle;
    private readonly OutputJournal? _journal;
    private int _spillFiles;
    private bool _committed;

    /// <param name="path">Its name when it is complete.</param>
    /// <param name="journal">Keeps what is finished; null for nothing.</param>
    /// <exception cref="ModelPackException">MP4002.</exception>
    public OutputFile(string path, OutputJournal? journal = null)
    {
        _path = path;
        _journal = journal;
        try
        {
            string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? throw new IOException("is not a file name");
            if (Directory.Exists(path))
            {
                throw new IOException("is a folder");
            }

            Directory.CreateDirectory(folder);
            (_temporaryPath, _handle) = journal is null
                ? Create(folder, Path.GetFileName(path))
                : (OutputJournal.PartialPath(path), File.OpenHandle(OutputJournal.PartialPath(path), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            throw Unwritable(e);
        }
    }

    /// <exception cref="ModelPackException">MP4002.</exception>
    public void Write(long offsetBytes, ReadOnlySpan<byte> bytes)
    {
        try
        {
            RandomAccess.Write(_handle, bytes, offsetBytes);
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            throw Unwritable(e);
        }
    }

    /// <summary>The open file, under its temporary name.</summary>
    public SafeFileHandle Handle => _handle;

    /// <summary>The name it gets, without folder.</summary>
    public string Name => Path.GetFileName(_path);

    /// <summary>A temporary file beside the output that is deleted when closed.</summary>
    /// <exception cref="ModelPackException">MP4002.</exception>
    public FileStream OpenSpillFile()
    {
        try
        {
            string name = string.Create(CultureInfo.InvariantCulture, $"{_temporaryPath}.{_spillFiles++}");
            return new FileStream(name, _journal is null ? FileMode.CreateNew : FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            throw Unwritable(e);
        }
    }

    /// <summary>Flushes to the disk and renames.</summary>
    /// <param name="lengthBytes">Where the file ends, for an interrupted write may have got further; null: where writing did.</param>
    /// <exception cref="ModelPackException">MP4002.</exception>
    public void Commit(long? lengthBytes = null)
    {
        try
        {
            RandomAccess.SetLength(_handle, lengthBytes ?? RandomAccess.GetLength(_handle));
            RandomAccess.FlushToDisk(_handle);
            _handle.Dispose();
            File.Move(_temporaryPath, _path, overwrite: true);
            _committed = true;
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            throw Unwritable(e);
        }
    }

    public void Dispose()
    {
        _handle.Dispose();
        if (_committed || _journal?.HoldsParts == true)
        {
            return;
        }

        try
        {
            File.Delete(_temporaryPath);
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            // The write has failed already; that error is the one to show.
        }
    }

    private static bool IsFileProblem(Exception e) => e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException;

    private static (string Path, SafeFileHandle Handle) Create(string folder, string name)
    {
        for (int attempt = 0; ; attempt++)
        {
            string temporary = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $".{name}.{Environment.ProcessId}-{attempt}.tmp"));
            try
            {
                return (temporary, File.OpenHandle(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, FileOptions.None));
            }
            catch (IOException) when (attempt < 1000 && File.Exists(temporary))
            {
                // Another write of the same output is under way, or one was killed here: take the next name.
            }
        }
    }

    private ModelPackException Unwritable(Exception e) => new(ErrorCodes.PackOutput, $"cannot be written: {e.Message}{_journal?.Left}", _path, innerException: e);
}
