using System.Runtime.InteropServices;

namespace ModelPack.Kernels.Emit;

/// <summary>Memory for machine code made at run time: written first, then executable and never again writable. It is kept until the process ends.</summary>
internal static unsafe partial class ExecutableMemory
{
    /// <summary>Copies code into executable memory.</summary>
    /// <returns>Its address; 0 where the system allows no such memory.</returns>
    public static nint Place(ReadOnlySpan<byte> code)
    {
        try
        {
            return OperatingSystem.IsWindows() ? PlaceOnWindows(code) : PlaceOnUnix(code);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            return 0;
        }
    }

    private static nint PlaceOnUnix(ReadOnlySpan<byte> code)
    {
        const int read = 1;
        const int write = 2;
        const int execute = 4;
        const int isPrivate = 2;
        int anonymous = OperatingSystem.IsLinux() ? 0x20 : 0x1000;
        nint memory = Map(0, (nuint)code.Length, read | write, isPrivate | anonymous, -1, 0);
        if (memory == -1)
        {
            return 0;
        }

        code.CopyTo(new Span<byte>((void*)memory, code.Length));
        if (Protect(memory, (nuint)code.Length, read | execute) == 0)
        {
            return memory;
        }

        _ = Unmap(memory, (nuint)code.Length);
        return 0;
    }

    private static nint PlaceOnWindows(ReadOnlySpan<byte> code)
    {
        const uint commitAndReserve = 0x3000;
        const uint readWrite = 4;
        const uint executeRead = 0x20;
        const uint release = 0x8000;
        nint memory = VirtualAlloc(0, (nuint)code.Length, commitAndReserve, readWrite);
        if (memory == 0)
        {
            return 0;
        }

        code.CopyTo(new Span<byte>((void*)memory, code.Length));
        if (VirtualProtect(memory, (nuint)code.Length, executeRead, out _) != 0 && FlushInstructionCache(-1, memory, (nuint)code.Length) != 0)
        {
            return memory;
        }

        _ = VirtualFree(memory, 0, release);
        return 0;
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("kernel32")]
    private static partial nint VirtualAlloc(nint address, nuint length, uint type, uint protection);

    [LibraryImport("kernel32")]
    private static partial int VirtualProtect(nint address, nuint length, uint protection, out uint before);

    [LibraryImport("kernel32")]
    private static partial int VirtualFree(nint address, nuint length, uint type);

    [LibraryImport("kernel32")]
    private static partial int FlushInstructionCache(nint process, nint address, nuint length);
}
