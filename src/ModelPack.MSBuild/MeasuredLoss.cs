using System.Text.Json;

namespace ModelPack.MSBuild;

/// <summary>What <c>modelpack eval --reference</c> says, as the loss that <c>modelpack tune --max-loss</c> speaks of.</summary>
internal static class MeasuredLoss
{
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
