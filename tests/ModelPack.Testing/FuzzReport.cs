namespace ModelPack.Testing;

/// <summary>What became of the cases of a fuzz run, so that a test can also assert that the run was not vacuous.</summary>
/// <param name="Accepted">Cases the action finished without an exception.</param>
/// <param name="Rejected">Cases that ended with a <see cref="ModelPackException"/>, by error code.</param>
public sealed record FuzzReport(int Accepted, IReadOnlyDictionary<ErrorCode, int> Rejected)
{
    /// <summary>All rejected cases.</summary>
    public int RejectedCount => Rejected.Values.Sum();
}
