using System.Runtime.InteropServices;

namespace ModelPack.Kernels;

/// <summary>What memory of a thread is for; uses do not disturb each other.</summary>
public enum ScratchUse
{
    /// <summary>Activations as the kernels read them; shared with the threads that work on the same product.</summary>
    Activations,

    /// <summary>Sums and panels of one tile.</summary>
    Tile,

    /// <summary>Outputs of a part of one layer that the next layer reads.</summary>
    Hidden,

    /// <summary>What a part of a convolution multiplies, and its outputs.</summary>
    Window,

    /// <summary>Which rows of activations go where.</summary>
    Places,
}

/// <summary>Memory of the current thread for intermediate results of kernel calls; it grows to the largest size asked for and is kept until the thread ends.</summary>
public sealed unsafe class ThreadScratch
{
    [ThreadStatic]
    private static ThreadScratch?[]? t_current;

    private void* _memory;
    private nuint _bytes;

    private ThreadScratch()
    {
    }

    ~ThreadScratch() => NativeMemory.AlignedFree(_memory);

    /// <summary>At least so many bytes at a multiple of 64, valid until the next call for the same use on this thread.</summary>
    public static void* Get(ScratchUse use, long bytes)
    {
        t_current ??= new ThreadScratch[Enum.GetValues<ScratchUse>().Length];
        ThreadScratch scratch = t_current[(int)use] ??= new ThreadScratch();
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
