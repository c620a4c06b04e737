using Microsoft.Win32.SafeHandles;

namespace ModelPack.Toolchain;

/// <summary>Keeps bytes until it is disposed: in memory up to a limit, beyond it in a temporary file that vanishes with the process. Thread-safe.</summary>
/// <param name="memoryBytes">Bytes that may be kept in memory.</param>
internal sealed class ScratchFile(long memoryBytes) : IDisposable
{
    private readonly Lock _lock = new();
    private SafeFileHandle? _file;
    private long _inMemory;
    private long _end;
    private bool _disposed;

    /// <summary>Bytes in the file.</summary>
    public long FileBytes => _end;

    /// <summary>Takes bytes over; the caller does not change them afterwards.</summary>
    /// <exception cref="ModelPackException">MP1005: the temporary file cannot be written.</exception>
    public TensorData Keep(ReadOnlyMemory<byte> bytes)
    {
        SafeFileHandle file;
        long offset;
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (bytes.Length <= memoryBytes - _inMemory)
            {
                _inMemory += bytes.Length;
                return TensorData.FromBytes(bytes);
            }

            file = _file ??= Create();
            offset = _end;
            _end += bytes.Length;
        }

        try
        {
            RandomAccess.Write(file, bytes.Span, offset);
        }
        catch (IOException e)
        {
            throw new ModelPackException(ErrorCodes.FileUnwritable, $"intermediate values cannot be written: {e.Message}", Path.GetTempPath(), innerException: e);
        }

        return new Region(file, offset, bytes.Length);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _file?.Dispose();
            _file = null;
        }
    }

    private static SafeFileHandle Create()
    {
        string path = Path.Combine(Path.GetTempPath(), $"modelpack-{Environment.ProcessId}-{Path.GetRandomFileName()}");
        try
        {
            return File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, FileOptions.DeleteOnClose | FileOptions.RandomAccess);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.FileUnwritable, $"a temporary file cannot be made: {e.Message}", path, innerException: e);
        }
    }

    private sealed class Region(SafeFileHandle file, long start, long lengthBytes) : TensorData(lengthBytes)
    {
        protected override void ReadCore(long offsetBytes, Span<byte> destination)
        {
            for (int done = 0; done < destination.Length;)
            {
                int read = RandomAccess.Read(file, destination[done..], start + offsetBytes + done);
                done += read > 0 ? read : throw new ModelPackException(ErrorCodes.FileTruncated, "a temporary file became shorter");
            }
        }
    }
}
