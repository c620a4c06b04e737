using System.Buffers;
using System.Collections.Immutable;
using System.Text.Json;

namespace ModelPack.Pack;

/// <summary>Writes the manifest: what the streams mean.</summary>
internal static class ManifestJson
{
    public static ReadOnlyMemory<byte> Write(WritePlan plan, ImmutableSortedDictionary<string, string> metadata)
    {
        var text = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(text, HeaderJson.WriterOptions);
        json.WriteStartObject();
        json.WriteNumber("version", PackLayout.Version);
        json.WriteStartObject("metadata");
        foreach ((string key, string value) in metadata)
        {
            json.WriteString(key, value);
        }

        json.WriteEndObject();
        json.WriteStartArray("streams");
        foreach (StreamPlan stream in plan.Streams)
        {
            json.WriteStartObject();
            json.WriteString("name", stream.Name);
            json.WriteString("element", stream.ElementType.Name());
            json.WriteNumber("bytes", stream.RawBytes);
            json.WriteNumber("chunk", stream.ChunkBytes);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("tensors");
        foreach (PlannedTensor tensor in plan.Tensors)
        {
            json.WriteStartObject();
            json.WriteString("name", tensor.Content.Name);
            json.WriteString("dtype", tensor.Content.DType.Name());
            json.WritePropertyName("encoding");
            WriteEncoding(json, tensor.Encoding);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("blobs");
        foreach ((string name, StreamPlan stream) in plan.Blobs)
        {
            json.WriteStartObject();
            json.WriteString("name", name);
            json.WriteNumber("stream", stream.Index);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return text.WrittenMemory;
    }

    private static void WriteEncoding(Utf8JsonWriter json, PlannedEncoding encoding)
    {
        json.WriteStartObject();
        json.WriteString(encoding is PlannedEncoding.Dense ? "format" : "structure", encoding.Unit.ToString());
        json.WriteStartArray("shape");
        foreach (long d in encoding.Shape.Dims)
        {
            json.WriteNumberValue(d);
        }

        json.WriteEndArray();
        switch (encoding)
        {
            case PlannedEncoding.Dense dense:
                if (dense.TileRows > 0)
                {
                    json.WriteNumber("tile", dense.TileRows);
                }

                json.WriteStartObject("streams");
                foreach ((string role, StreamPlan stream) in dense.Streams)
                {
                    json.WriteNumber(role, stream.Index);
                }

                json.WriteEndObject();
                break;
            case PlannedEncoding.Structured structured:
                json.WriteStartArray("components");
                foreach (PlannedEncoding component in structured.Components)
                {
                    WriteEncoding(json, component);
                }

                json.WriteEndArray();
                break;
        }

        json.WriteEndObject();
    }
}
