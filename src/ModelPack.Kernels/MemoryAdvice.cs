using System.Runtime.InteropServices;

namespace ModelPack.Kernels;

/// <summary>What is said to the system about memory of this process, by <c>madvise</c>.</summary>
internal static partial class MemoryAdvice
{
    /// <summary>Says it of whole pages; false where the system has no such call, or refuses.</summary>
    public static bool Give(nint address, long lengthBytes, int advice)
    {
        try
        {
            return !OperatingSystem.IsWindows() && Advise(address, (nuint)lengthBytes, advice) == 0;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            return false; // A libc without it, or of another name: slower, not wrong.
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);
}
