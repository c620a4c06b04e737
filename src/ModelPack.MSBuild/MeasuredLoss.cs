using System.Text.Json;

namespace ModelPack.MSBuild;

/// <summary>What <c>modelpack eval --reference</c> says, as the loss that <c>modelpack tune --max-loss</c> speaks of.</summary>
internal static class MeasuredLoss
{
    /// <summary>Samples that are measured, one process each, of a folder with one folder per sample.</summary>
    private const int MostSamples = 16;

    /// <summary>Options of <c>modelpack eval</c> for calibration data, one list for every run that is to be made: a token file, a folder of .npy inputs, or a folder of such folders.</summary>
    public static IEnumerable<string[]> Data(string calibration)
    {
        if (!Directory.Exists(calibration))
        {
            return [["--tokens", calibration]];
        }

        string[] samples = [.. Directory.EnumerateDirectories(calibration).Order(StringComparer.Ordinal)];
        return samples.Length == 0
            ? [["--data", calibration]]
            : samples.Where((_, i) => i % ((samples.Length + MostSamples - 1) / MostSamples) == 0).Select(folder => new[] { "--data", folder });
    }

    /// <summary>The divergence of predicted tokens in nats, about what the negative log likelihood grows by; of other models the noise of the outputs divided by their power, a mean over the outputs.</summary>
    public static double Of(JsonElement evaluation)
    {
        if (evaluation.TryGetProperty("divergence", out JsonElement divergence) && divergence.ValueKind == JsonValueKind.Number)
        {
            return divergence.GetDouble();
        }

        // No number means no noise at all.
        return evaluation.GetProperty("outputs").EnumerateArray()
            .Select(o => o.TryGetProperty("sqnr_db", out JsonElement sqnr) && sqnr.ValueKind == JsonValueKind.Number ? Math.Pow(10, -sqnr.GetDouble() / 10) : 0)
            .Average();
    }
}
