using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Testing;

namespace ModelPack.Tests.Architectures;

/// <summary>A checkpoint folder with seeded random weights: what config.json needs, and the tensors a family has, listed here by hand.</summary>
internal sealed class RandomCheckpoint
{
    private readonly SplitMix _random;

    public RandomCheckpoint(JsonObject config, ulong seed = 1)
    {
        Config = config;
        _random = new SplitMix(seed);
    }

    public JsonObject Config { get; }

    /// <summary>Shape and values by name; values are exact in <see cref="DType"/>.</summary>
    public SortedDictionary<string, (long[] Shape, float[] Values)> Tensors { get; } = new(StringComparer.Ordinal);

    /// <summary>Type of all tensors in the file.</summary>
    public DType DType { get; set; } = DType.F32;

    /// <summary>Adds a tensor of values around <paramref name="mean"/>.</summary>
    public void Add(string name, double spread, double mean, params long[] shape)
    {
        float[] values = new float[shape.Aggregate(1L, (a, b) => a * b)];
        for (int i = 0; i < values.Length; i++)
        {
            // The sum of four uniform numbers is near enough to a bell.
            double bell = Enumerable.Range(0, 4).Sum(_ => (_random.Next() >> 11) / (double)(1L << 53)) - 2;
            values[i] = Rounded((float)(mean + (spread * bell)));
        }

        Tensors[name] = (shape, values);
    }

    /// <summary>Writes config.json and model.safetensors, or as many shards with their index.</summary>
    /// <returns>The folder.</returns>
    public string Write(TempFolder folder, string name = "checkpoint", int shards = 1)
    {
        folder.Write($"{name}/config.json", Config.ToJsonString());
        var map = new JsonObject();
        for (int shard = 0; shard < shards; shard++)
        {
            string file = shards == 1 ? "model.safetensors" : $"model-{shard + 1:00000}-of-{shards:00000}.safetensors";
            string[] names = [.. Tensors.Keys.Where((_, i) => i % shards == shard)];
            folder.Write($"{name}/{file}", Safetensors(names));
            foreach (string tensor in names)
            {
                map[tensor] = file;
            }
        }

        if (shards > 1)
        {
            folder.Write($"{name}/model.safetensors.index.json", new JsonObject { ["weight_map"] = map }.ToJsonString());
        }

        return folder[name];
    }

    /// <summary>The checkpoint in memory, as its container would import it.</summary>
    public Model ToModel() => new()
    {
        Kind = ModelKind.Checkpoint,
        Graph = new Graph { Initializers = [.. Tensors.Select(t => Tensor.Raw(t.Key, DType, new Shape(t.Value.Shape), TensorData.FromBytes(t.Value.Values.SelectMany(Bytes).ToArray())))] },
        Files = [new CarriedFile("config.json", TensorData.FromBytes(Encoding.UTF8.GetBytes(Config.ToJsonString())))],
    };

    private byte[] Safetensors(IEnumerable<string> names)
    {
        var header = new JsonObject();
        using var data = new MemoryStream();
        foreach (string name in names)
        {
            (long[] shape, float[] values) = Tensors[name];
            long begin = data.Length;
            foreach (float value in values)
            {
                data.Write(Bytes(value));
            }

            header[name] = new JsonObject
            {
                ["dtype"] = DType.Name().ToUpperInvariant(),
                ["shape"] = new JsonArray([.. shape.Select(d => (JsonNode)d)]),
                ["data_offsets"] = new JsonArray(begin, data.Length),
            };
        }

        byte[] text = Encoding.UTF8.GetBytes(header.ToJsonString());
        byte[] file = new byte[8 + text.Length + data.Length];
        BinaryPrimitives.WriteInt64LittleEndian(file, text.Length);
        text.CopyTo(file, 8);
        data.ToArray().CopyTo(file, 8 + text.Length);
        return file;
    }

    private float Rounded(float value) => DType switch
    {
        DType.BF16 => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000),
        DType.F16 => (float)(Half)value,
        _ => value,
    };

    private byte[] Bytes(float value) => DType switch
    {
        DType.BF16 => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)),
        DType.F16 => BitConverter.GetBytes((Half)value),
        _ => BitConverter.GetBytes(value),
    };
}
