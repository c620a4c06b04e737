using System.Diagnostics;

namespace ModelPack.Toolchain;

/// <summary>Resident memory of this process.</summary>
internal static class ProcessMemory
{
    /// <summary>Highest resident size so far, in bytes.</summary>
    public static long PeakBytes()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
