using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>
/// Images of leaves that cover each other: discs of random place, size and colour, whose radii follow r^-3. Such images have the edges, flat areas and spectrum of photographs (Lee, Mumford, Huang, "Occlusion models for
/// natural images", 2001), which noise has not: activations of convolutions on noise have ranges that no picture causes.
/// </summary>
internal static class GeneratedImages
{
    private const int SmallestRadius = 2;

    /// <summary>Writes samples as folders of .npy files.</summary>
    public static void Write(string folder, UnitSpec spec, string path, Model model, CalibrationLimits limits)
    {
        spec.AllowOnly("samples", "seed", "size", "range");
        int samples = spec.Int("samples", 16, 1, 4096);
        int seed = spec.Int("seed", 0, 0, int.MaxValue);
        (int height, int width) = Size(spec.Text("size", "224x224"));
        (float low, float high) = spec.Text("range", "signed") switch
        {
            "signed" => (-1f, 1f),
            "unit" => (0f, 1f),
            "bytes" => (0f, 255f),
            string other => throw new ModelPackException(ErrorCodes.BadUnitArgument, $"range={other}: it is signed (-1 to 1), unit (0 to 1) or bytes (0 to 255)"),
        };
        (ValueInfo Input, bool ChannelsLast, long[] Shape)[] inputs = [.. model.Graph.FreeInputs().Select(i => Layout(i, height, width, path))];
        for (int sample = 0; sample < samples; sample++)
        {
            limits.Cancellation.ThrowIfCancellationRequested();
            limits.Progress?.Invoke("generate", sample, samples, null);
            string place = Path.Combine(folder, sample.ToString("D4", CultureInfo.InvariantCulture));
            Directory.CreateDirectory(place);
            var random = new SplitMix64(((ulong)(uint)seed << 32) | (uint)sample);
            foreach ((ValueInfo input, bool last, long[] shape) in inputs)
            {
                float[] values = Leaves(random, shape, last, low, high);
                byte[] bytes = input.Type.DType == DType.U8 ? [.. values.Select(v => (byte)v)] : MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
                NpyFile.Write(Path.Combine(place, SampleInputs.FileName(input.Name)), input.Type.DType, new Shape(shape), TensorData.FromBytes(bytes));
            }
        }
    }

    private static (ValueInfo Input, bool ChannelsLast, long[] Shape) Layout(ValueInfo input, int height, int width, string path)
    {
        ModelPackException Bad() => new(
            ErrorCodes.CalibrationData, $"generate:images makes f32 or u8 images of 1 or 3 channels, [N, C, H, W] or [N, H, W, C]; input '{input.Name}' is none: give a folder of .npy files", path);
        if (input.Type.DType is not (DType.F32 or DType.U8) || input.Type.Dims.IsDefault || input.Type.Dims.Length != 4)
        {
            throw Bad();
        }

        Dimension[] dims = [.. input.Type.Dims];
        bool last = dims[1].Value is not (1 or 3) && dims[3].Value is 1 or 3;
        if (!last && dims[1].Value is not (1 or 3))
        {
            throw Bad();
        }

        (int h, int w, int c) = last ? (1, 2, 3) : (2, 3, 1);
        long[] shape = new long[4];
        shape[0] = dims[0].Value ?? 1;
        shape[c] = dims[c].Value!.Value;
        shape[h] = dims[h].Value ?? height;
        shape[w] = dims[w].Value ?? width;
        return (input, last, shape);
    }

    private static float[] Leaves(SplitMix64 random, long[] shape, bool channelsLast, float low, float high)
    {
        (int h, int w, int c) = channelsLast ? (1, 2, 3) : (2, 3, 1);
        int height = checked((int)shape[h]);
        int width = checked((int)shape[w]);
        int channels = checked((int)shape[c]);
        float[] values = new float[checked((int)(shape[0] * height * width * channels))];
        double largest = Math.Max(SmallestRadius + 1, Math.Max(height, width) / 2.0);
        double ratio = SmallestRadius / largest;
        int leaves = Math.Clamp(height * width / 40, 50, 20_000);
        Span<float> colour = stackalloc float[4];
        for (int image = 0; image < shape[0]; image++)
        {
            for (int leaf = 0; leaf < leaves; leaf++)
            {
                double radius = SmallestRadius / Math.Sqrt(1 - (random.Unit() * (1 - (ratio * ratio))));
                double x = random.Unit() * width;
                double y = random.Unit() * height;
                for (int k = 0; k < channels; k++)
                {
                    colour[k] = low + ((high - low) * (float)random.Unit());
                }

                int bottom = Math.Min(height - 1, (int)(y + radius));
                for (int row = Math.Max(0, (int)(y - radius)); row <= bottom; row++)
                {
                    double half = (radius * radius) - ((row - y) * (row - y));
                    if (half < 0)
                    {
                        continue;
                    }

                    half = Math.Sqrt(half);
                    int right = Math.Min(width - 1, (int)(x + half));
                    for (int column = Math.Max(0, (int)(x - half)); column <= right; column++)
                    {
                        for (int k = 0; k < channels; k++)
                        {
                            int at = channelsLast ? (((((image * height) + row) * width) + column) * channels) + k : (((((image * channels) + k) * height) + row) * width) + column;
                            values[at] = colour[k];
                        }
                    }
                }
            }
        }

        return values;
    }

    private static (int Height, int Width) Size(string text)
    {
        string[] parts = text.Split('x');
        return parts.Length == 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int height)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int width) && height is >= 1 and <= 8192 && width is >= 1 and <= 8192
            ? (height, width)
            : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"size={text}: it is height x width, such as 48x320, at most 8192 each");
    }
}
