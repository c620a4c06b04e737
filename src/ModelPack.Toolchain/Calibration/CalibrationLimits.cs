namespace ModelPack.Toolchain;

/// <summary>What a calibration may use.</summary>
/// <param name="Threads">Worker threads, at least 1.</param>
/// <param name="MaxMemoryBytes">Bytes.</param>
/// <param name="Progress">Told activity, done, total, node.</param>
/// <param name="Cancellation">Stops.</param>
internal sealed record CalibrationLimits(int Threads, long MaxMemoryBytes, Action<string, long, long, string?>? Progress, CancellationToken Cancellation);
