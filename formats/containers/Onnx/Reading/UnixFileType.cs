using System.Runtime.InteropServices;

namespace ModelPack.Containers.Onnx;

/// <summary>Asks the system what kind of file a path is: opening a pipe or device could block or never end.</summary>
internal static partial class UnixFileType
{
    private const int ModeOffset = 28;
    private const int FormatMask = 0xF000;
    private const int RegularFormat = 0x8000;

    /// <summary>False when the path is certainly something else than a regular file (after following links).</summary>
    public static bool MayBeRegular(string path)
    {
        FileAttributes attributes = File.GetAttributes(path);
        if ((attributes & (FileAttributes.Directory | FileAttributes.Device)) != 0)
        {
            return false;
        }

        if (!OperatingSystem.IsLinux())
        {
            return true;
        }

        // struct statx: its layout is the same on every architecture; stx_mode is the u16 at byte 28.
        Span<byte> buffer = stackalloc byte[256];
        try
        {
            const int CurrentFolder = -100;
            const uint TypeMask = 1;
            return Statx(CurrentFolder, path, 0, TypeMask, buffer) != 0
                || (BitConverter.ToUInt16(buffer[ModeOffset..]) & FormatMask) == RegularFormat;
        }
        catch (Exception e) when (e is EntryPointNotFoundException or DllNotFoundException)
        {
            return true; // a C library older than the call, or under another name
        }
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int folder, string path, int flags, uint mask, Span<byte> result);
}
