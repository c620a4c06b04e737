using System.Globalization;
using System.Runtime.InteropServices;

namespace ModelPack.Runtime.Loading;

/// <summary>
/// A temporary folder with decoded weights, a file each, that ONNX Runtime maps. Where files may be deleted while they are mapped it is gone as soon as the session exists, so nothing is left of it
/// however the process ends after that; one that is killed while it opens a model leaves it. On Windows it goes with the model.
/// </summary>
internal sealed partial class WeightFolder : IDisposable
{
    /// <summary>Most bytes that are read back to see how fast the storage is.</summary>
    private const long MostProbedBytes = 64 << 20;

    private const long LeastProbedBytes = 1 << 20;

    private const int DontNeed = 4;

    private static int s_made;

    private WeightFolder(string path)
    {
        Path = path;
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>Bytes written so far.</summary>
    public long Bytes { get; private set; }

    /// <summary>What reading the largest of them back from the storage took, in bytes per second; null where it is not known: for small files, or where the system's cache could not be passed.</summary>
    public double? BytesPerSecond { get; private set; }

    /// <summary>Makes one beside the artifact, or among temporary files where that folder cannot be written.</summary>
    /// <exception cref="ModelPackException">MP1005: neither can.</exception>
    public static WeightFolder Create(string artifact)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $".{System.IO.Path.GetFileName(System.IO.Path.GetFullPath(artifact))}.{Environment.ProcessId}-{Interlocked.Increment(ref s_made)}");
        string beside = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(artifact))!, name);
        string path = TryMake(beside) ? beside : System.IO.Path.Combine(System.IO.Path.GetTempPath(), name);
        return path == beside || TryMake(path)
            ? new WeightFolder(path)
            : throw new ModelPackException(ErrorCodes.FileUnwritable, $"no place for decoded weights: neither beside the artifact nor in {System.IO.Path.GetTempPath()}", artifact);
    }

    /// <summary>Writes a weight to a file named by its location.</summary>
    /// <exception cref="ModelPackException">MP1005: the disk is full, or refuses.</exception>
    public void Add(LoadedWeight weight)
    {
        string path = System.IO.Path.Combine(Path, weight.Location);
        try
        {
            long length = weight.Buffer.LengthBytes;
            using var file = new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1);
            for (long at = 0; at < length;)
            {
                int some = (int)Math.Min(MostProbedBytes, length - at);
                file.Write(weight.Buffer.Slice(at, some));
                at += some;
            }

            Bytes += length;
            if (BytesPerSecond is null && length >= LeastProbedBytes)
            {
                Probe(file, Math.Min(length, MostProbedBytes), weight);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.FileUnwritable, $"decoded weights cannot be kept: {e.Message}", path, innerException: e);
        }
    }

    public void Dispose()
    {
        try
        {
            Directory.Delete(Path, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Files in use on Windows: the model deletes them when it is disposed.
        }
    }

    private static bool TryMake(string path)
    {
        try
        {
            Directory.CreateDirectory(path);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Reads the file back, past the cache of the system; the bytes are those of the weight again.</summary>
    private void Probe(FileStream file, long bytes, LoadedWeight weight)
    {
        file.Flush(flushToDisk: true);
        if (!OperatingSystem.IsLinux() || Advise((int)file.SafeFileHandle.DangerousGetHandle(), 0, 0, DontNeed) != 0)
        {
            return;
        }

        long start = TimeProvider.System.GetTimestamp();
        RandomAccess.Read(file.SafeFileHandle, weight.Buffer.Slice(0, (int)bytes), 0);
        BytesPerSecond = bytes / TimeProvider.System.GetElapsedTime(start).TotalSeconds;
    }

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int Advise(int file, long offset, long length, int advice);
}
