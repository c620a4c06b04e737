namespace ModelPack.OrtOps;

/// <summary>
/// Work that makes later work faster in a new process and that nobody waits for, one piece after the other in the order given. It leaves one processor to who opens the model: more threads than processors would
/// delay just what they are to make faster. Nothing is done where there is one processor.
/// </summary>
public static class WarmUpQueue
{
    private static readonly Queue<Action> Waiting = [];
    private static readonly int MaxThreads = Math.Clamp(Environment.ProcessorCount - 1, 0, 4);

    private static int s_threads;

    /// <summary>Adds a piece of work, which begins at once where a thread is free.</summary>
    /// <param name="work">The work. What it throws is forgotten: who needs what it prepares meets the same, and says so.</param>
    /// <returns>False when it will not be done.</returns>
    public static bool Add(Action work)
    {
        lock (Waiting)
        {
            if (MaxThreads == 0)
            {
                return false;
            }

            Waiting.Enqueue(work);
            if (s_threads < MaxThreads)
            {
                // Not a thread of the pool: the first of those takes longer to begin, and the decoding of weights would wait for these.
                s_threads++;
                new Thread(Work) { IsBackground = true, Name = "modelpack warm-up" }.UnsafeStart();
            }
        }

        return true;
    }

    private static void Work()
    {
        while (true)
        {
            Action? work;
            lock (Waiting)
            {
                if (!Waiting.TryDequeue(out work))
                {
                    s_threads--;
                    return;
                }
            }

            try
            {
                work();
            }
            catch (Exception)
            {
                // Told where the result is needed.
            }
        }
    }
}
