using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace ModelPack;

/// <summary>
/// Files that appear together or not at all: each is written under a temporary name in its final folder and flushed to disk; only
/// <see cref="Commit"/> gives them their names. Disposing without a commit removes everything that was written, folders included; with a journal
/// in which something is finished it stays, under partial names, for the next run.
/// </summary>
public sealed class AtomicFiles : IDisposable
{
    private readonly OutputJournal? _journal;
    private readonly List<(string Temporary, string Final)> _files = [];
    private readonly List<string> _newFolders = [];
    private bool _committed;

    /// <summary>Files that a failure removes.</summary>
    public AtomicFiles()
        : this(null)
    {
    }

    /// <summary>Files of which a journal keeps what is finished.</summary>
    /// <param name="journal">The journal, which the caller closes and completes; null for none.</param>
    public AtomicFiles(OutputJournal? journal) => _journal = journal;

    /// <summary>Final paths in the order they were added.</summary>
    public IReadOnlyList<string> Paths => [.. _files.Select(f => f.Final)];

    /// <summary>Makes <paramref name="path"/> and its missing parents.</summary>
    /// <exception cref="ModelPackException">MP1005: a folder cannot be created.</exception>
    public void AddFolder(string path)
    {
        try
        {
            var missing = new Stack<string>();
            for (string? folder = Path.GetFullPath(path); folder is not null && !Directory.Exists(folder); folder = Path.GetDirectoryName(folder))
            {
                missing.Push(folder);
            }

            foreach (string folder in missing)
            {
                Directory.CreateDirectory(folder);
                _newFolders.Add(folder);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CannotWrite(path, e);
        }
    }

    /// <summary>Writes one file under a temporary name and flushes it.</summary>
    /// <param name="path">Final path; its folder must exist.</param>
    /// <param name="write">Writes the content from the start.</param>
    /// <exception cref="ModelPackException">MP1005: the file cannot be written.</exception>
    public void Add(string path, Action<Stream> write)
    {
        try
        {
            if (_journal is not null)
            {
                AddJournaled(_journal, path, write);
                return;
            }

            string temporary = Create(path, out SafeFileHandle handle);
            _files.Add((temporary, path));
            using var stream = new FileStream(handle, FileAccess.Write, bufferSize: 0);
            write(stream);
            stream.Flush(flushToDisk: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CannotWrite(path, e);
        }
    }

    /// <summary>Gives all files their final names, replacing older ones.</summary>
    /// <exception cref="ModelPackException">MP1005: a file cannot be renamed.</exception>
    public void Commit()
    {
        foreach ((string temporary, string final) in _files)
        {
            try
            {
                File.Move(temporary, final, overwrite: true);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw CannotWrite(final, e);
            }
        }

        _committed = true;
    }

    public void Dispose()
    {
        if (_committed || _journal?.HoldsParts == true)
        {
            return;
        }

        foreach ((string temporary, _) in _files)
        {
            TryDelete(() => File.Delete(temporary));
        }

        foreach (string folder in Enumerable.Reverse(_newFolders))
        {
            TryDelete(() => Directory.Delete(folder));
        }
    }

    private void AddJournaled(OutputJournal journal, string path, Action<Stream> write)
    {
        journal.AddFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        string partial = OutputJournal.PartialPath(path);
        SafeFileHandle handle = File.OpenHandle(partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        _files.Add((partial, path));
        using var stream = new JournaledStream(handle, journal, Path.GetFileName(path));
        write(stream);
        stream.Complete();
    }

    private static string Create(string path, out SafeFileHandle handle)
    {
        for (int attempt = 0; ; attempt++)
        {
            string temporary = string.Create(CultureInfo.InvariantCulture, $"{path}.tmp-{Environment.ProcessId}-{attempt}");
            try
            {
                handle = File.OpenHandle(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None);
                return temporary;
            }
            catch (IOException) when (File.Exists(temporary) && attempt < 1000)
            {
                // Left over from a process that had the same id, or another export of this one.
            }
        }
    }

    private static void TryDelete(Action delete)
    {
        try
        {
            delete();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The error that brought us here is the one to report.
        }
    }

    private ModelPackException CannotWrite(string path, Exception e) =>
        new(ErrorCodes.FileUnwritable, $"cannot be written: {e.Message}{_journal?.Left}", path, innerException: e);
}
