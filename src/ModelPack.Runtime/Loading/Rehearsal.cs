using ModelPack.OrtOps;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>
/// Opens an artifact of a few bytes on another thread while the first artifact of a process is read. What comes after reading is mostly code that runs for the first time (it is linked to what it calls, or compiled), and
/// ONNX Runtime registers all its operators: a second processor, which has little else to do at that time, has done that then.
/// </summary>
internal static class Rehearsal
{
    /// <summary>How long the end of a process waits at most: a rehearsal takes a tenth of a second.</summary>
    private static readonly TimeSpan MostWait = TimeSpan.FromSeconds(10);

    private static readonly ManualResetEventSlim Ended = new();

    private static int s_begun;

    private static bool s_isExiting;

    /// <summary>Begins, the first time it is called; later calls do nothing. Never fails: whatever is wrong is found and told by the opening that is wanted.</summary>
    public static void Begin()
    {
        if (Interlocked.Exchange(ref s_begun, 1) == 0 && WarmUpQueue.Add(Run))
        {
            // ONNX Runtime must not be left in the middle of a session: it takes itself apart when the process ends, and calls into what is gone end in a crash.
            AppDomain.CurrentDomain.ProcessExit += static (_, _) =>
            {
                Volatile.Write(ref s_isExiting, true);
                Ended.Wait(MostWait);
            };
        }
    }

    private static void Run()
    {
        try
        {
            if (!Volatile.Read(ref s_isExiting))
            {
                OrtSessions.Rehearse(static () => PackedModel.Rehearse(new TinyArtifact()));
            }
        }
        finally
        {
            Ended.Set();
        }
    }
}
