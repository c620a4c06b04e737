using Microsoft.Win32.SafeHandles;

namespace ModelPack.Testing;

/// <summary>Makes files of any length without writing them: only the given pieces take disk space, the rest reads as zeros.</summary>
public static class SparseFile
{
    /// <summary>Creates <paramref name="path"/> with <paramref name="lengthBytes"/> bytes, zeros except for <paramref name="pieces"/>.</summary>
    /// <exception cref="ArgumentException">A piece does not lie inside the file.</exception>
    public static void Create(string path, long lengthBytes, params ReadOnlySpan<(long OffsetBytes, byte[] Bytes)> pieces)
    {
        using SafeFileHandle handle = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
        RandomAccess.SetLength(handle, lengthBytes);
        foreach ((long offset, byte[] bytes) in pieces)
        {
            if (offset < 0 || bytes.Length > lengthBytes - offset)
            {
                throw new ArgumentException($"piece {offset}+{bytes.Length} is outside {lengthBytes} bytes", nameof(pieces));
            }

            RandomAccess.Write(handle, bytes, offset);
        }
    }
}
