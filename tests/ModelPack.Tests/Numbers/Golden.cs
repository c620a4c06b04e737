using System.IO.Compression;
using System.Runtime.InteropServices;
using ModelPack.Testing;

namespace ModelPack.Tests.Numbers;

/// <summary>Reads golden vectors; see golden/README.md.</summary>
internal static class Golden
{
    /// <summary>The bytes of a vector, stored plainly or gzipped under the name with <c>.gz</c>.</summary>
    public static byte[] Bytes(string name)
    {
        string path = RepositoryTree.PathTo("tests", "ModelPack.Tests", "Numbers", "golden", name);
        if (File.Exists(path))
        {
            return File.ReadAllBytes(path);
        }

        using var bytes = new MemoryStream();
        using var gzip = new GZipStream(File.OpenRead(path + ".gz"), CompressionMode.Decompress);
        gzip.CopyTo(bytes);
        return bytes.ToArray();
    }

    public static float[] Floats(string name) => MemoryMarshal.Cast<byte, float>(Bytes(name)).ToArray();

    public static ushort[] Words(string name) => MemoryMarshal.Cast<byte, ushort>(Bytes(name)).ToArray();

    /// <summary>Fails unless both are NaN or have the same bits.</summary>
    public static bool SameValue(float expected, float actual) =>
        (float.IsNaN(expected) && float.IsNaN(actual)) || BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(actual);
}
