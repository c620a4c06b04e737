using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace ModelPack.Containers.Gguf;

/// <summary>Keys and values for the header of a GGUF file, in the order they are added.</summary>
public sealed class GgufMetadata
{
    private const uint U16 = 2;
    private const uint I32 = 5;
    private const uint F32 = 6;
    private const uint Bool = 7;
    private const uint String = 8;
    private const uint Array = 9;

    private readonly ArrayBufferWriter<byte> _bytes = new();
    private readonly HashSet<string> _keys = new(StringComparer.Ordinal);

    /// <summary>Pairs so far.</summary>
    public int Count => _keys.Count;

    /// <summary>The pairs as the file has them.</summary>
    internal ReadOnlySpan<byte> Bytes => _bytes.WrittenSpan;

    public void Add(string key, ushort value)
    {
        Key(key, U16);
        WriteU32(value, sizeof(ushort));
    }

    public void Add(string key, uint value)
    {
        Key(key, GgufValue.U32);
        WriteU32(value);
    }

    public void Add(string key, float value)
    {
        Key(key, F32);
        WriteU32(BitConverter.SingleToUInt32Bits(value));
    }

    public void Add(string key, bool value)
    {
        Key(key, Bool);
        _bytes.Write([value ? (byte)1 : (byte)0]);
    }

    public void Add(string key, string value)
    {
        Key(key, String);
        WriteText(value);
    }

    public void Add(string key, IReadOnlyList<string> values)
    {
        ArrayKey(key, String, values.Count);
        foreach (string value in values)
        {
            WriteText(value);
        }
    }

    public void Add(string key, IReadOnlyList<int> values)
    {
        ArrayKey(key, I32, values.Count);
        foreach (int value in values)
        {
            WriteU32((uint)value);
        }
    }

    public void Add(string key, IReadOnlyList<float> values)
    {
        ArrayKey(key, F32, values.Count);
        foreach (float value in values)
        {
            WriteU32(BitConverter.SingleToUInt32Bits(value));
        }
    }

    private void ArrayKey(string key, uint type, int count)
    {
        Key(key, Array);
        WriteU32(type);
        WriteU64((ulong)count);
    }

    /// <exception cref="ArgumentException">The key is there already.</exception>
    private void Key(string key, uint type)
    {
        if (!_keys.Add(key))
        {
            throw new ArgumentException($"the key '{key}' is given twice");
        }

        WriteText(key);
        WriteU32(type);
    }

    private void WriteText(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        WriteU64((ulong)bytes.Length);
        _bytes.Write(bytes);
    }

    private void WriteU32(uint value, int bytes = sizeof(uint))
    {
        Span<byte> buffer = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(buffer, value);
        _bytes.Write(buffer[..bytes]);
    }

    private void WriteU64(ulong value)
    {
        Span<byte> buffer = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(buffer, value);
        _bytes.Write(buffer);
    }
}
