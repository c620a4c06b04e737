using System.Buffers.Binary;
using System.Text;
using ModelPack.Compiler;
using ModelPack.Containers.Safetensors;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Containers;

/// <summary>Builds safetensors files from hand-written headers, and reads them.</summary>
internal static class SafetensorsBytes
{
    public static byte[] File(string header, int dataBytes = 0) => File(Encoding.UTF8.GetBytes(header), dataBytes);

    public static byte[] File(byte[] header, int dataBytes = 0)
    {
        byte[] file = new byte[8 + header.Length + dataBytes];
        BinaryPrimitives.WriteInt64LittleEndian(file, header.Length);
        header.CopyTo(file, 8);
        for (int i = 0; i < dataBytes; i++)
        {
            file[8 + header.Length + i] = (byte)(i + 1);
        }

        return file;
    }

    /// <summary>Imports the bytes as a file and expects an error with this code.</summary>
    public static ModelPackException Rejects(ErrorCode code, byte[] file)
    {
        using var folder = new TempFolder();
        string path = folder.Write("bad.safetensors", file);
        var container = new SafetensorsContainer();
        Assert.True(container.Recognizes(path));
        var e = Assert.Throws<ModelPackException>(() => container.Import(path));
        Assert.Equal(code, e.Code);
        Assert.Equal(path, e.Path);
        var fromMap = Assert.Throws<ModelPackException>(() => container.Map(path));
        Assert.Equal(e.Line, fromMap.Line);
        return e;
    }

    public static ModelPackException Rejects(ErrorCode code, string header, int dataBytes = 0) => Rejects(code, File(header, dataBytes));

    public static ImportedModel Import(TempFolder folder, byte[] file) => new SafetensorsContainer().Import(folder.Write("x.safetensors", file));

    public static byte[] Bytes(Tensor tensor)
    {
        Assert.True(tensor.TryGetRawData(out TensorData data));
        return data.ToArray();
    }
}
