using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime.Native;

/// <summary>
/// Creates sessions, the first of a process by itself: ONNX Runtime looks whether it knows the domain of our operators and then adds it, and of two sessions that do so at once one fails ("the domain is already exist", 1.31.1).
/// </summary>
internal static class OrtSessions
{
    private static readonly Lock First = new();

    private static bool s_isKnown;

    /// <summary>Creates a session with our operators.</summary>
    /// <param name="create">Makes it.</param>
    /// <exception cref="OnnxRuntimeException">As <paramref name="create"/> throws it.</exception>
    public static InferenceSession Create(Func<InferenceSession> create)
    {
        if (Volatile.Read(ref s_isKnown))
        {
            return create();
        }

        lock (First)
        {
            InferenceSession session = create();
            Volatile.Write(ref s_isKnown, true);
            return session;
        }
    }
}
