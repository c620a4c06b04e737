using System.Runtime.InteropServices;

namespace ModelPack.Runtime.Native;

/// <summary>Memory straight from the system (Linux), which has it back the moment it is freed: what the C library hands out in pieces of megabytes, it often keeps.</summary>
internal static partial class AnonymousMemory
{
    /// <summary>Memory that is zero, at a multiple of a page.</summary>
    /// <returns>Its address; 0 where there is none to be had this way.</returns>
    public static nint Map(long lengthBytes)
    {
        const int readWrite = 3;
        const int anonymousPrivate = 0x22;
        if (!OperatingSystem.IsLinux())
        {
            return 0;
        }

        try
        {
            nint address = Map(0, (nuint)lengthBytes, readWrite, anonymousPrivate, -1, 0);
            return address == -1 ? 0 : address;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            return 0;
        }
    }

    /// <summary>Gives it back.</summary>
    public static void Unmap(nint address, long lengthBytes) => _ = Unmap(address, (nuint)lengthBytes);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);
}
