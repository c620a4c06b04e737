namespace ModelPack;

/// <summary>A write was cancelled, and what it had finished is kept for the next run.</summary>
public sealed class InterruptedWriteException : OperationCanceledException
{
    /// <param name="message">What is kept, in one line.</param>
    /// <param name="cancelled">The cancellation.</param>
    public InterruptedWriteException(string message, OperationCanceledException cancelled)
        : base(message, cancelled, cancelled.CancellationToken)
    {
    }
}
