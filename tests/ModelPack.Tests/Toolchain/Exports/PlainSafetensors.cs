using System.Buffers.Binary;
using System.Text.Json.Nodes;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>A second reader of safetensors files, from the published layout alone.</summary>
internal sealed class PlainSafetensors
{
    private readonly byte[] _file;
    private readonly JsonObject _header;
    private readonly int _data;

    public PlainSafetensors(string path)
    {
        _file = File.ReadAllBytes(path);
        int length = (int)BinaryPrimitives.ReadInt64LittleEndian(_file);
        _header = (JsonObject)JsonNode.Parse(_file.AsSpan(8, length))!;
        _data = 8 + length;
    }

    public IEnumerable<string> Names => _header.Select(e => e.Key).Where(n => n != "__metadata__");

    public string Type(string name) => (string)_header[name]!["dtype"]!;

    public long[] Shape(string name) => [.. _header[name]!["shape"]!.AsArray().Select(d => (long)d!)];

    public byte[] Bytes(string name)
    {
        int begin = (int)_header[name]!["data_offsets"]![0]!;
        return _file[(_data + begin)..(_data + (int)_header[name]!["data_offsets"]![1]!)];
    }

    /// <summary>Values of a plain float or of 8-bit floats.</summary>
    public float[] Floats(string name)
    {
        byte[] bytes = Bytes(name);
        return Type(name) switch
        {
            "F32" => [.. Enumerable.Range(0, bytes.Length / 4).Select(i => BitConverter.ToSingle(bytes, i * 4))],
            "BF16" => [.. Enumerable.Range(0, bytes.Length / 2).Select(i => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes, i * 2) << 16))],
            "F16" => [.. Enumerable.Range(0, bytes.Length / 2).Select(i => (float)BitConverter.ToHalf(bytes, i * 2))],
            "F8_E4M3" => [.. bytes.Select(E4M3)],
            string other => throw new InvalidOperationException(other),
        };
    }

    public uint[] Words(string name)
    {
        byte[] bytes = Bytes(name);
        return [.. Enumerable.Range(0, bytes.Length / 4).Select(i => BitConverter.ToUInt32(bytes, i * 4))];
    }

    /// <summary>S.EEEE.MMM, bias 7, no infinities.</summary>
    public static float E4M3(byte code)
    {
        int exponent = (code >> 3) & 15;
        int fraction = code & 7;
        float magnitude = exponent == 0 ? fraction * MathF.Pow(2, -9) : (8 + fraction) * MathF.Pow(2, exponent - 10);
        return (code & 0x7F) == 0x7F ? float.NaN : code >= 128 ? -magnitude : magnitude;
    }

    public static float E2M1(int code)
    {
        float magnitude = (code & 7) switch { 0 => 0, 1 => 0.5f, 2 => 1, 3 => 1.5f, 4 => 2, 5 => 3, 6 => 4, _ => 6 };
        return code >= 8 ? -magnitude : magnitude;
    }
}
