using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>Writes .npy files independently of the product's own writer.</summary>
internal static class NpyFile
{
    public static void WriteInt64(string path, ReadOnlySpan<long> shape, ReadOnlySpan<long> values)
    {
        string dims = string.Join(", ", shape.ToArray()) + (shape.Length == 1 ? "," : "");
        string header = $"{{'descr': '<i8', 'fortran_order': False, 'shape': ({dims}), }}";
        header = header.PadRight(((10 + header.Length + 1 + 63) / 64 * 64) - 10 - 1) + "\n";
        using FileStream file = File.Create(path);
        file.Write([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0]);
        byte[] length = new byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(length, (ushort)header.Length);
        file.Write(length);
        file.Write(Encoding.ASCII.GetBytes(header));
        file.Write(MemoryMarshal.AsBytes(values));
    }
}
