using System.Globalization;
using System.Text;

namespace ModelPack.EndToEnd.Tests.OcrLines;

/// <summary>The 20 rendered text lines as inputs of a PaddleOCR recogniser, and its output as text.</summary>
internal static class OcrLines
{
    private const int Height = 48;

    /// <summary>Number of committed images.</summary>
    public const int Count = 20;

    /// <summary>Image <paramref name="index"/> as f32 [1, 3, 48, width], normalised to -1..1.</summary>
    public static (float[] Values, long[] Shape) Input(int index)
    {
        (byte[] pixels, int width) = ReadPgm(Path.Combine(AppContext.BaseDirectory, "OcrLines", $"line{index:D2}.pgm"));
        float[] values = new float[3 * Height * width];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = ((pixels[i % pixels.Length] / 255f) - 0.5f) / 0.5f;
        }

        return (values, [1, 3, Height, width]);
    }

    /// <summary>Greedy CTC decoding of probabilities [1, steps, classes]; class 0 is the blank, the last class the space.</summary>
    public static string Decode(ReadOnlySpan<float> probabilities, int steps, int classes, IReadOnlyList<string> keys)
    {
        var text = new StringBuilder();
        int previous = 0;
        for (int t = 0; t < steps; t++)
        {
            int best = IndexOfMax(probabilities.Slice(t * classes, classes));
            if (best != 0 && best != previous)
            {
                text.Append(best - 1 < keys.Count ? keys[best - 1] : " ");
            }

            previous = best;
        }

        return text.ToString();
    }

    private static int IndexOfMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            best = values[i] > values[best] ? i : best;
        }

        return best;
    }

    private static (byte[] Pixels, int Width) ReadPgm(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int end = file.AsSpan().IndexOf((byte)'\n');
        string[] header = Encoding.ASCII.GetString(file, 0, end).Split(' ');
        int width = int.Parse(header[1], CultureInfo.InvariantCulture);
        Assert.Equal(["P5", Height.ToString(CultureInfo.InvariantCulture), "255"], [header[0], header[2], header[3]]);
        return (file[(end + 1)..], width);
    }
}
