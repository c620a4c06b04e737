using System.Buffers;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ModelPack.Pack;

/// <summary>The safetensors header of an artifact.</summary>
internal static class HeaderJson
{
    internal static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Writes the header text: one U8 tensor per entry, ascending, ranges relative to the data buffer.</summary>
    public static ReadOnlyMemory<byte> Write(IReadOnlyList<(string Name, long Begin, long End)> entries)
    {
        var text = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(text, WriterOptions);
        json.WriteStartObject();
        json.WriteStartObject("__metadata__");
        json.WriteString("format", "modelpack");
        json.WriteString("version", PackLayout.Version.ToString(CultureInfo.InvariantCulture));
        json.WriteEndObject();
        foreach ((string name, long begin, long end) in entries)
        {
            json.WriteStartObject(name);
            json.WriteString("dtype", "U8");
            json.WriteStartArray("shape");
            json.WriteNumberValue(end - begin);
            json.WriteEndArray();
            json.WriteStartArray("data_offsets");
            json.WriteNumberValue(begin);
            json.WriteNumberValue(end);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.Flush();
        return text.WrittenMemory;
    }

    /// <summary>Bytes the header text can take at most when no range reaches <paramref name="upperBound"/>.</summary>
    public static long MaxBytes(IEnumerable<string> names, long upperBound)
    {
        int digits = upperBound.ToString(CultureInfo.InvariantCulture).Length;
        long bytes = 100;
        foreach (string name in names)
        {
            bytes += JsonEncodedText.Encode(name, JavaScriptEncoder.UnsafeRelaxedJsonEscaping).EncodedUtf8Bytes.Length + 60 + (3L * digits);
        }

        return bytes;
    }
}
