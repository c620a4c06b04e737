using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace ModelPack.Pack;

/// <summary>
/// A file that appears under its name only when it is complete: written beside it under a temporary name, flushed to the disk, renamed. Disposed
/// without <see cref="Commit"/>, it leaves nothing and an existing file of that name stays as it was.
/// </summary>
internal sealed class OutputFile : IDisposable
{
    private readonly string _path;
    private readonly string _temporaryPath;
    private readonly SafeFileHandle _handle;
    private int _spillFiles;
    private bool _committed;

    /// <exception cref="ModelPackException">MP4002.</exception>
    public OutputFile(string path)
    {
        _path = path;
        try
        {
            string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? throw new IOException("is not a file name");
            if (Directory.Exists(path))
            {
                throw new IOException("is a folder");
            }

            Directory.CreateDirectory(folder);
            (_temporaryPath, _handle) = Create(folder, Path.GetFileName(path));
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

    /// <summary>A temporary file beside the output that is deleted when closed.</summary>
    /// <exception cref="ModelPackException">MP4002.</exception>
    public FileStream OpenSpillFile()
    {
        try
        {
            string name = string.Create(CultureInfo.InvariantCulture, $"{_temporaryPath}.{_spillFiles++}");
            return new FileStream(name, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            throw Unwritable(e);
        }
    }

    /// <summary>Flushes to the disk and renames.</summary>
    /// <exception cref="ModelPackException">MP4002.</exception>
    public void Commit()
    {
        try
        {
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
        if (_committed)
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

    private ModelPackException Unwritable(Exception e) => new(ErrorCodes.PackOutput, $"cannot be written: {e.Message}", _path, innerException: e);
}
