namespace ModelPack.Toolchain;

/// <summary>Rough time and memory of packing, for dry runs. Constants: one core of an AMD EPYC (family 25 model 17), .NET 10, 2026-11-22.</summary>
internal static class WorkEstimate
{
    /// <summary>Input bytes per second and core that are quantised and coded, measured on the sample model.</summary>
    private const double EncodeBytesPerSecond = 150e6;

    /// <summary>Buffers of one tile in flight: values, codes and compressed bytes of about 1 MiB of codes.</summary>
    private const long TileBytes = 16L << 20;

    public static double Seconds(IReadOnlyList<CompiledTensor> tensors, int threads) =>
        tensors.Sum(t => t.InputBytes) / (EncodeBytesPerSecond * threads);

    /// <summary>What the process holds already plus the tiles that worker threads keep in flight.</summary>
    public static long PeakBytes(IReadOnlyList<CompiledTensor> tensors, int threads, long residentBytes)
    {
        long largest = tensors.Count == 0 ? 0 : tensors.Max(t => t.InputBytes);
        return residentBytes + (2L * threads * Math.Min(TileBytes, 4 * largest));
    }
}
