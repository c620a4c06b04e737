using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using ModelPack.Numbers;
using ModelPack.Testing;

namespace ModelPack.Benchmarks.Codecs;

/// <summary>The weights of the sample model, as they are and as number formats leave them, cut into chunks as the packer does it.</summary>
internal static class CodecData
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>Name, element type and chunks of every kind of data.</summary>
    public static IEnumerable<(string Name, DType Type, List<byte[]> Chunks)> All()
    {
        List<(Shape Shape, byte[] Bytes)> tensors = ReadBf16(RepositoryTree.PathTo("samples", "models", "tinyllama", "model.safetensors"));
        byte[] all = [.. tensors.SelectMany(t => t.Bytes)];
        float[] values = Decode(all);
        yield return ("bf16, chunks of 1 MiB", DType.BF16, Cut([all]));
        yield return ("bf16, tensor by tensor", DType.BF16, Cut(tensors.Select(t => t.Bytes)));
        yield return ("the same as f32", DType.F32, Cut([MemoryMarshal.AsBytes<float>(values).ToArray()]));
        yield return ("the same as f16", DType.F16, Cut([MemoryMarshal.AsBytes<Half>(values.Select(v => (Half)v).ToArray()).ToArray()]));
        yield return ("f32 of full precision", DType.F32, Cut([MemoryMarshal.AsBytes<float>(values.Select(v => v * 1.0471976f).ToArray()).ToArray()]));
        yield return ("f16, all bits used", DType.F16, Cut([MemoryMarshal.AsBytes<Half>(values.Select((v, i) => (Half)(v * Jitter(i))).ToArray()).ToArray()]));
        yield return ("f32, all bits used", DType.F32, Cut([MemoryMarshal.AsBytes<float>(values.Select((v, i) => v * Jitter(i)).ToArray()).ToArray()]));
        foreach (string format in new[] { "int8(block=row)", "int4", "nf4", "f8e4m3fn" })
        {
            yield return ($"{format} codes, tensor by tensor", DType.U8, Cut(tensors.Where(t => t.Shape.Rank == 2).Select(t => Quantize(format, t.Shape, t.Bytes))));
        }
    }

    /// <summary>Near 1, and different for every element: what lies below the bits of bf16 becomes noise, as it is in trained weights.</summary>
    private static float Jitter(int i) => 1 + ((uint)i * 0x9E3779B9u >> 8) * (1f / (1 << 31));

    /// <summary>The sample model's weights: all of them, and tensor by tensor.</summary>
    internal static (byte[] All, List<(Shape Shape, byte[] Bytes)> Tensors) Bf16()
    {
        List<(Shape Shape, byte[] Bytes)> tensors = ReadBf16(RepositoryTree.PathTo("samples", "models", "tinyllama", "model.safetensors"));
        return ([.. tensors.SelectMany(t => t.Bytes)], tensors);
    }

    private static byte[] Quantize(string format, Shape shape, byte[] bf16)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse(format), shape);
        int rows = (int)bound.Shape.Rows;
        byte[][] streams = [.. bound.Streams.Select(s => new byte[rows * s.BytesPerRow])];
        bound.EncodeRows(Decode(bf16), rows, [.. streams.Select(s => s.AsMemory())]);
        return streams[0];
    }

    internal static float[] Decode(byte[] bf16) => [.. MemoryMarshal.Cast<byte, ushort>(bf16).ToArray().Select(b => BitConverter.UInt32BitsToSingle((uint)b << 16))];

    private static List<byte[]> Cut(IEnumerable<byte[]> streams) => [.. streams.SelectMany(s => s.Chunk(ChunkBytes))];

    private static List<(Shape Shape, byte[] Bytes)> ReadBf16(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int header = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        using var json = JsonDocument.Parse(file.AsMemory(8, header - 8));
        var tensors = new List<(Shape, byte[])>();
        foreach (JsonProperty entry in json.RootElement.EnumerateObject().Where(e => e.Name != "__metadata__"))
        {
            long[] range = [.. entry.Value.GetProperty("data_offsets").EnumerateArray().Select(e => e.GetInt64())];
            var shape = new Shape([.. entry.Value.GetProperty("shape").EnumerateArray().Select(e => e.GetInt64())]);
            tensors.Add((shape, file[(header + (int)range[0])..(header + (int)range[1])]));
        }

        return tensors;
    }
}
