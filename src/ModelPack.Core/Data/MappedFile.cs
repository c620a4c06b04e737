using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace ModelPack;

/// <summary>
/// A file opened for reading at any offset. Bulk reads go through positional reads, so that a file truncated under us is an
/// error and pages do not count as resident memory; <see cref="Span"/> maps the file (once, on first use) for zero-copy access.
/// </summary>
public sealed unsafe class MappedFile : IDisposable
{
    private readonly SafeFileHandle _handle;
    private readonly Lock _lock = new();
    private MemoryMappedFile? _map;
    private MemoryMappedViewAccessor? _view;
    private byte* _base;

    private MappedFile(string path, SafeFileHandle handle, long lengthBytes)
    {
        Path = path;
        _handle = handle;
        LengthBytes = lengthBytes;
    }

    /// <summary>The path as given by the caller, for messages.</summary>
    public string Path { get; }

    /// <summary>Length when the file was opened.</summary>
    public long LengthBytes { get; }

    /// <summary>Opens <paramref name="path"/> for reading.</summary>
    /// <exception cref="ModelPackException">MP1001 not found, MP1002 cannot be opened.</exception>
    public static MappedFile Open(string path)
    {
        SafeFileHandle handle;
        try
        {
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, FileOptions.RandomAccess);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, "no such file", path, innerException: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new ModelPackException(ErrorCodes.FileUnreadable, $"cannot be opened: {e.Message}", path, innerException: e);
        }

        try
        {
            return new MappedFile(path, handle, RandomAccess.GetLength(handle));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            handle.Dispose();
            throw new ModelPackException(ErrorCodes.FileUnreadable, $"cannot be read: {e.Message}", path, innerException: e);
        }
    }

    /// <summary>Fills <paramref name="destination"/> from <paramref name="offsetBytes"/>.</summary>
    /// <exception cref="ModelPackException">MP1003: the file ended early or an I/O error occurred.</exception>
    public void Read(long offsetBytes, Span<byte> destination)
    {
        try
        {
            while (!destination.IsEmpty)
            {
                int n = RandomAccess.Read(_handle, destination, offsetBytes);
                if (n == 0)
                {
                    throw new ModelPackException(ErrorCodes.FileTruncated, $"ends at {offsetBytes} while {destination.Length} more bytes are needed", Path);
                }

                offsetBytes += n;
                destination = destination[n..];
            }
        }
        catch (IOException e)
        {
            throw new ModelPackException(ErrorCodes.FileUnreadable, $"cannot be read at {offsetBytes}: {e.Message}", Path, innerException: e);
        }
    }

    /// <summary>Bytes of the mapped file, valid until <see cref="Dispose"/>. The range must lie inside the file.</summary>
    public ReadOnlySpan<byte> Span(long offsetBytes, int lengthBytes)
    {
        if (offsetBytes < 0 || lengthBytes < 0 || lengthBytes > LengthBytes - offsetBytes)
        {
            throw new ArgumentOutOfRangeException(nameof(offsetBytes));
        }

        return lengthBytes == 0 ? default : new ReadOnlySpan<byte>(Pointer + offsetBytes, lengthBytes);
    }

    /// <summary>Start of the mapping, for native consumers; valid until <see cref="Dispose"/>. The file must not be empty.</summary>
    public byte* Pointer
    {
        get
        {
            if (_base == null)
            {
                Map();
            }

            return _base;
        }
    }

    /// <summary>The bytes of a part of this file as <see cref="TensorData"/>; this object must outlive it.</summary>
    public TensorData Region(long offsetBytes, long lengthBytes) =>
        lengthBytes == 0 ? TensorData.Empty : new FileTensorData(this, offsetBytes, lengthBytes);

    public void Dispose()
    {
        lock (_lock)
        {
            if (_base != null)
            {
                _view!.SafeMemoryMappedViewHandle.ReleasePointer();
                _base = null;
            }

            _view?.Dispose();
            _map?.Dispose();
            _handle.Dispose();
        }
    }

    private void Map()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
            if (_base != null)
            {
                return;
            }

            _map = MemoryMappedFile.CreateFromFile(_handle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            _view = _map.CreateViewAccessor(0, LengthBytes, MemoryMappedFileAccess.Read);
            byte* start = null;
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
            _base = start + _view.PointerOffset;
        }
    }
}
