namespace ModelPack.Kernels;

/// <summary>Memory that is mapped from a file.</summary>
public static class FilePages
{
    /// <summary>MADV_WILLNEED.</summary>
    private const int WillNeed = 3;

    /// <summary>MADV_POPULATE_READ of Linux 5.14.</summary>
    private const int Populate = 22;

    /// <summary>Reads a range into memory and maps it, so that who uses it meets no page fault; where the system cannot, it is asked to begin reading.</summary>
    /// <param name="start">Start of memory that is mapped from a file.</param>
    /// <param name="lengthBytes">Its length.</param>
    public static void Read(nint start, long lengthBytes)
    {
        // Whole pages that hold the range: neighbours on them are of the same file.
        nint page = Environment.SystemPageSize;
        nint first = start & -page;
        long bytes = (start + (nint)lengthBytes - first + page - 1) & -page;
        if (lengthBytes > 0 && !(OperatingSystem.IsLinux() && MemoryAdvice.Give(first, bytes, Populate)))
        {
            MemoryAdvice.Give(first, bytes, WillNeed);
        }
    }

    /// <summary>The whole pages within a range leave the process; whoever reads them gets them from the file again.</summary>
    /// <param name="start">Start of memory that is mapped from a file.</param>
    /// <param name="lengthBytes">Its length.</param>
    public static void GiveUp(nint start, long lengthBytes) => MappedMemory.Instance.GiveUp(start, lengthBytes);
}
