namespace ModelPack.Toolchain;

/// <summary>Memory for values of samples. Thread-safe.</summary>
/// <param name="bytes">How much there is.</param>
internal sealed class SampleBudget(long bytes)
{
    private long _left = bytes;

    /// <summary>Takes memory if there is enough.</summary>
    public bool TryTake(long count)
    {
        if (Interlocked.Add(ref _left, -count) >= 0)
        {
            return true;
        }

        Give(count);
        return false;
    }

    /// <summary>Gives memory back.</summary>
    public void Give(long count) => Interlocked.Add(ref _left, count);
}
