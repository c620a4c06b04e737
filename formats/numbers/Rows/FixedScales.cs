namespace ModelPack.Numbers;

/// <summary>What implementations of <see cref="IFixedScaleFormat"/> share.</summary>
internal static class FixedScales
{
    private static readonly float[] Steps = [.. Enumerable.Range(0, 33).Select(t => 1f - (t / 64f)), .. Enumerable.Range(1, 16).Select(t => 1f + (t / 64f))];

    /// <summary>For scales that are finer than the steps of a search: 1, 63/64, ..., 1/2, then 65/64, ..., 5/4.</summary>
    public static ReadOnlySpan<float> Factors => Steps;
}
