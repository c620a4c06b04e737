using System.Buffers.Binary;
using System.Text.Json;
using ModelPack.Compiler;
using Xunit;

namespace ModelPack.Tests.Containers;

/// <summary>A second, slow and simple reading of a safetensors header with a general JSON library, to catch what the parser would let through.</summary>
internal static class SafetensorsOracle
{
    private static readonly Dictionary<string, int> Bits = new()
    {
        ["BOOL"] = 8,
        ["F4"] = 4,
        ["F6_E2M3"] = 6,
        ["F6_E3M2"] = 6,
        ["U8"] = 8,
        ["I8"] = 8,
        ["F8_E5M2"] = 8,
        ["F8_E4M3"] = 8,
        ["F8_E8M0"] = 8,
        ["F8_E4M3FNUZ"] = 8,
        ["F8_E5M2FNUZ"] = 8,
        ["I16"] = 16,
        ["U16"] = 16,
        ["F16"] = 16,
        ["BF16"] = 16,
        ["I32"] = 32,
        ["U32"] = 32,
        ["F32"] = 32,
        ["C64"] = 64,
        ["F64"] = 64,
        ["I64"] = 64,
        ["U64"] = 64,
    };

    /// <summary>Asserts that a model that was accepted says exactly what the file says, and that the file is consistent.</summary>
    public static void AssertConsistent(byte[] file, Model model, IReadOnlyList<FileMap> maps)
    {
        int headerBytes = checked((int)BinaryPrimitives.ReadInt64LittleEndian(file));
        using JsonDocument json = JsonDocument.Parse(file.AsMemory(8, headerBytes), new JsonDocumentOptions { AllowDuplicateProperties = false });
        var tensors = model.Graph.Initializers.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var ranges = new List<(long Begin, long End)>();
        int found = 0;
        foreach (JsonProperty property in json.RootElement.EnumerateObject())
        {
            if (property.Name == "__metadata__")
            {
                string[] pairs = property.Value.ValueKind == JsonValueKind.Null ? [] : [.. property.Value.EnumerateObject().Select(p => p.Name + "=" + p.Value.GetString())];
                Assert.Equal(pairs, model.Metadata.Select(m => m.Key + "=" + m.Value));
                continue;
            }

            found++;
            Tensor tensor = tensors[property.Name];
            long[] shape = [.. property.Value.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64())];
            long[] offsets = [.. property.Value.GetProperty("data_offsets").EnumerateArray().Select(d => d.GetInt64())];
            Assert.Equal(shape, tensor.Shape.Dims);
            Int128 bits = shape.Aggregate((Int128)Bits[property.Value.GetProperty("dtype").GetString()!], (a, b) => a * b);
            Assert.Equal((Int128)(offsets[1] - offsets[0]) * 8, bits);
            Assert.True(tensor.TryGetRawData(out TensorData data));
            Assert.Equal(file[(8 + headerBytes + (int)offsets[0])..(8 + headerBytes + (int)offsets[1])], data.ToArray());
            if (offsets[0] != offsets[1])
            {
                TensorRange range = Assert.Single(maps.Single().Ranges, r => r.Name == property.Name);
                Assert.Equal((8 + headerBytes + offsets[0], offsets[1] - offsets[0], tensor.DType), (range.OffsetBytes, range.LengthBytes, range.DType));
                ranges.Add((offsets[0], offsets[1]));
            }
        }

        Assert.Equal(found, tensors.Count);
        Assert.Equal(ranges.Count, maps.Single().Ranges.Length);
        long end = 0;
        foreach ((long begin, long next) in ranges.Order())
        {
            Assert.Equal(end, begin);
            end = next;
        }

        Assert.Equal(file.Length - 8 - headerBytes, end);
        Assert.True(maps.Single().Ranges.Zip(maps.Single().Ranges.Skip(1)).All(p => p.First.OffsetBytes + p.First.LengthBytes <= p.Second.OffsetBytes));
    }
}
