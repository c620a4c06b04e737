namespace ModelPack.Runtime;

/// <summary>How a model whose weights do not all stay in memory is going to read them.</summary>
/// <param name="WeightBytes">Weights that its operators read packed.</param>
/// <param name="BudgetBytes">Memory for them.</param>
/// <param name="StreamedBytes">Bytes that every run reads again.</param>
/// <param name="StorageBytesPerSecond">How fast the storage read decoded weights back when the model was opened; null where that could not be measured.</param>
public sealed record Residency(long WeightBytes, long BudgetBytes, long StreamedBytes, double? StorageBytesPerSecond)
{
    /// <summary>The least time of a run by what it reads from storage; reading goes on while others are computed, so a run takes this or the time of computing, whichever is longer. Zero where all weights stay; null where the storage was not measured.</summary>
    public TimeSpan? StorageTime => StreamedBytes == 0 ? TimeSpan.Zero : StorageBytesPerSecond is double speed ? TimeSpan.FromSeconds(StreamedBytes / speed) : null;
}
