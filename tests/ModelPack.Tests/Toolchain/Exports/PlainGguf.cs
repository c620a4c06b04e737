using System.Text;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>A second reader of GGUF files, from ggml's documentation alone: header, alignment and the values of the types that are written.</summary>
internal sealed class PlainGguf
{
    private readonly byte[] _file;
    private readonly Dictionary<string, (uint Type, long[] Shape, long Offset)> _tensors = [];

    public PlainGguf(string path)
    {
        _file = File.ReadAllBytes(path);
        using var reader = new BinaryReader(new MemoryStream(_file));
        Assert("GGUF" == Encoding.ASCII.GetString(reader.ReadBytes(4)));
        Assert(reader.ReadUInt32() == 3);
        ulong tensors = reader.ReadUInt64();
        ulong pairs = reader.ReadUInt64();
        for (ulong i = 0; i < pairs; i++)
        {
            Metadata.Add(Text(reader), Value(reader, reader.ReadUInt32()));
        }

        var infos = new List<(string Name, uint Type, long[] Shape, long Offset)>();
        for (ulong i = 0; i < tensors; i++)
        {
            string name = Text(reader);
            Assert(Encoding.UTF8.GetByteCount(name) < 64);
            long[] shape = [.. Enumerable.Range(0, (int)reader.ReadUInt32()).Select(_ => reader.ReadInt64()).Reverse()];
            infos.Add((name, reader.ReadUInt32(), shape, reader.ReadInt64()));
        }

        long start = (reader.BaseStream.Position + 31) / 32 * 32;
        Assert(_file.Skip((int)reader.BaseStream.Position).Take((int)(start - reader.BaseStream.Position)).All(b => b == 0));
        foreach ((string name, uint type, long[] shape, long offset) in infos)
        {
            Assert(offset % 32 == 0);
            _tensors.Add(name, (type, shape, start + offset));
        }
    }

    public Dictionary<string, object> Metadata { get; } = [];

    public IEnumerable<string> Names => _tensors.Keys;

    public uint Type(string name) => _tensors[name].Type;

    public long[] Shape(string name) => _tensors[name].Shape;

    /// <summary>The values [rows, columns].</summary>
    public float[] Values(string name)
    {
        (uint type, long[] shape, long offset) = _tensors[name];
        int count = (int)shape.Aggregate(1L, (a, b) => a * b);
        (int values, int bytes) = type switch { 0 => (1, 4), 1 or 30 => (1, 2), 2 => (32, 18), 3 => (32, 20), 6 => (32, 22), 8 => (32, 34), 14 => (256, 210), 34 => (256, 54), 35 => (256, 66), 39 => (32, 17), 40 => (64, 36), _ => throw new InvalidOperationException($"type {type}") };
        float[] all = new float[count];
        for (int b = 0; b < count / values; b++)
        {
            Decode(type, _file.AsSpan((int)offset + (b * bytes), bytes), all.AsSpan(b * values, values));
        }

        return all;
    }

    private static void Decode(uint type, ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = block.Length >= 2 ? (float)BitConverter.ToHalf(block) : 0;
        switch (type)
        {
            case 0: y[0] = BitConverter.ToSingle(block); break;
            case 1: y[0] = d; break;
            case 30: y[0] = BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(block) << 16); break;
            case 8: for (int j = 0; j < 32; j++) { y[j] = (sbyte)block[2 + j] * d; } break;
            case 2: for (int j = 0; j < 32; j++) { y[j] = (Nibble(block[2..], j, 16) - 8) * d; } break;
            case 3: for (int j = 0; j < 32; j++) { y[j] = (Nibble(block[4..], j, 16) * d) + (float)BitConverter.ToHalf(block[2..]); } break;
            case 6: for (int j = 0; j < 32; j++) { y[j] = ((Nibble(block[6..], j, 16) | (int)(((BitConverter.ToUInt32(block[2..]) >> j) & 1) << 4)) - 16) * d; } break;
            case 39: for (int j = 0; j < 32; j++) { y[j] = PlainSafetensors.E2M1(Nibble(block[1..], j, 16)) * MathF.Pow(2, block[0] - 127); } break;
            case 40: for (int j = 0; j < 64; j++) { y[j] = PlainSafetensors.E2M1(Nibble(block[(4 + (j / 16 * 8))..], j % 16, 8)) * PlainSafetensors.E4M3(block[j / 16]); } break;
            case 35: for (int j = 0; j < 256; j++) { y[j] = (((block[(j / 128 * 32) + (j % 32)] >> (j / 32 % 4 * 2)) & 3) - 1) * (float)BitConverter.ToHalf(block[64..]); } break;
            case 34: for (int j = 0; j < 256; j++) { y[j] = (Trit(block, j) - 1) * (float)BitConverter.ToHalf(block[52..]); } break;
            case 14:
                for (int j = 0; j < 256; j++)
                {
                    int half = j / 128;
                    int quarter = j % 128 / 32;
                    int l = j % 32;
                    int low = (block[(half * 64) + (quarter % 2 * 32) + l] >> (quarter / 2 * 4)) & 15;
                    int high = (block[128 + (half * 32) + l] >> (quarter * 2)) & 3;
                    y[j] = (float)BitConverter.ToHalf(block[208..]) * (sbyte)block[192 + (j / 16)] * ((low | (high << 4)) - 32);
                }

                break;
        }
    }

    private static int Nibble(ReadOnlySpan<byte> bytes, int j, int half) => j < half ? bytes[j] & 15 : bytes[j - half] >> 4;

    private static int Trit(ReadOnlySpan<byte> block, int j)
    {
        (int at, int k) = j < 160 ? (j % 32, j / 32) : j < 240 ? (32 + ((j - 160) % 16), (j - 160) / 16) : (48 + ((j - 240) % 4), (j - 240) / 4);
        int power = (int)Math.Pow(3, k);
        return ((block[at] * power) & 255) * 3 >> 8;
    }

    private static string Text(BinaryReader reader) => Encoding.UTF8.GetString(reader.ReadBytes((int)reader.ReadUInt64()));

    private static object Value(BinaryReader reader, uint type) => type switch
    {
        2 => reader.ReadUInt16(),
        4 => reader.ReadUInt32(),
        5 => reader.ReadInt32(),
        6 => reader.ReadSingle(),
        7 => reader.ReadByte() == 1,
        8 => Text(reader),
        9 => Items(reader),
        _ => throw new InvalidOperationException($"value type {type}"),
    };

    private static object[] Items(BinaryReader reader)
    {
        uint type = reader.ReadUInt32();
        return [.. Enumerable.Range(0, (int)reader.ReadUInt64()).Select(_ => Value(reader, type))];
    }

    private static void Assert(bool condition) => Xunit.Assert.True(condition);
}
