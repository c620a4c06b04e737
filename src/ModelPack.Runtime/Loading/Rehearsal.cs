using ModelPack.OrtOps;

namespace ModelPack.Runtime.Loading;

/// <summary>
/// Opens an artifact of a few bytes on another thread while the first artifact of a process is read. What comes after reading is mostly code that runs for the first time (it is linked to what it calls, or compiled), and
/// ONNX Runtime registers all its operators: a second processor, which has little else to do at that time, has done that then.
/// </summary>
internal static class Rehearsal
{
    private static int s_begun;

    /// <summary>Begins, the first time it is called; later calls do nothing. Never fails: whatever is wrong is found and told by the opening that is wanted.</summary>
    public static void Begin()
    {
        if (Interlocked.Exchange(ref s_begun, 1) == 0)
        {
            _ = WarmUpQueue.Add(static () => PackedModel.Rehearse(new TinyArtifact()));
        }
    }
}
