using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace ModelPack.EndToEnd.Tests.OcrLines;

/// <summary>The 200 lines of variety.bin (see render_variety.py), none of which is among the 20 of <see cref="OcrLines"/>.</summary>
internal static class VarietyLines
{
    private const int Height = 48;

    /// <summary>Text and pixels as f32 [1, 3, 48, width], normalised to -1..1.</summary>
    public static IReadOnlyList<(string Text, float[] Values, long[] Shape)> Read()
    {
        using var file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "OcrLines", "variety.bin"));
        using var inflated = new ZLibStream(file, CompressionMode.Decompress);
        using var memory = new MemoryStream();
        inflated.CopyTo(memory);
        ReadOnlySpan<byte> bytes = memory.ToArray();
        var lines = new List<(string, float[], long[])>();
        while (!bytes.IsEmpty)
        {
            int width = BinaryPrimitives.ReadUInt16LittleEndian(bytes);
            int length = BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]);
            string text = Encoding.UTF8.GetString(bytes.Slice(4, length));
            ReadOnlySpan<byte> pixels = bytes.Slice(4 + length, Height * width / 2);
            float[] values = new float[3 * Height * width];
            for (int i = 0; i < values.Length; i++)
            {
                int pixel = i % (Height * width);
                int shade = pixel % 2 == 0 ? pixels[pixel / 2] >> 4 : pixels[pixel / 2] & 15;
                values[i] = ((shade / 15f) - 0.5f) / 0.5f;
            }

            lines.Add((text, values, [1, 3, Height, width]));
            bytes = bytes[(4 + length + pixels.Length)..];
        }

        return lines;
    }
}
