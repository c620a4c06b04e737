using System.Runtime.InteropServices;

namespace ModelPack.Kernels;

/// <summary>Memory of the current thread for intermediate results of one kernel call; it grows to the largest size asked for and is kept until the thread ends.</summary>
internal sealed unsafe class ThreadScratch
{
    [ThreadStatic]
    private static ThreadScratch? t_current;

    private void* _memory;
    private nuint _bytes;

    private ThreadScratch()
    {
    }

    ~ThreadScratch() => NativeMemory.AlignedFree(_memory);

    /// <summary>At least so many bytes at a multiple of 64, valid until the next call on this thread.</summary>
    public static void* Get(long bytes)
    {
        ThreadScratch scratch = t_current ??= new ThreadScratch();
        if (scratch._bytes < (nuint)bytes)
        {
            NativeMemory.AlignedFree(scratch._memory);
            scratch._memory = null;
            scratch._bytes = 0;
            scratch._memory = NativeMemory.AlignedAlloc((nuint)bytes, 64);
            scratch._bytes = (nuint)bytes;
        }

        return scratch._memory;
    }
}
