using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime.Native;

/// <summary>
/// Creates sessions, the first of a process by itself: ONNX Runtime looks whether it knows the domain of our operators and then adds it, and of two sessions that do so at once one fails ("the domain is already exist", 1.31.1).
/// </summary>
internal static class OrtSessions
{
    private static readonly Lock First = new();

    private static bool s_isKnown;

    [ThreadStatic]
    private static bool t_isRehearsal;

    /// <summary>Creates a session with our operators.</summary>
    /// <param name="create">Makes it.</param>
    /// <exception cref="OnnxRuntimeException">As <paramref name="create"/> throws it.</exception>
    /// <exception cref="OperationCanceledException">In a rehearsal that comes too late: the session that is wanted is there or being made.</exception>
    public static InferenceSession Create(Func<InferenceSession> create)
    {
        if (Volatile.Read(ref s_isKnown))
        {
            return t_isRehearsal ? throw new OperationCanceledException() : create();
        }

        if (!First.TryEnter(t_isRehearsal ? 0 : Timeout.Infinite))
        {
            throw new OperationCanceledException();
        }

        try
        {
            InferenceSession session = create();
            Volatile.Write(ref s_isKnown, true);
            return session;
        }
        finally
        {
            First.Exit();
        }
    }

    /// <summary>Does something whose session nobody wants.</summary>
    /// <param name="rehearse">What is done.</param>
    public static void Rehearse(Action rehearse)
    {
        t_isRehearsal = true;
        try
        {
            rehearse();
        }
        finally
        {
            t_isRehearsal = false;
        }
    }
}
