using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels;

/// <summary>Asks for memory that will be read soon, where the instruction set can.</summary>
internal static unsafe class Prefetching
{
    /// <summary>Bytes of a line.</summary>
    public const int LineBytes = 64;

    /// <summary>How far ahead: about what arrives while the loads before it are worked on. Measured best among 1 to 16 KiB for weights that come from memory; in caches it costs nothing that shows.</summary>
    public const int AheadBytes = 4096;

    /// <summary>Asks for the line at an address.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Line(byte* at)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(at);
        }
    }

    /// <summary>Asks for some memory into the second cache, where it does not press out what the first is needed for.</summary>
    /// <param name="at">Start.</param>
    /// <param name="count">Bytes.</param>
    public static void Lines(byte* at, int count)
    {
        for (int i = 0; Sse.IsSupported && i < count; i += LineBytes)
        {
            Sse.Prefetch1(at + i);
        }
    }

    /// <summary>Asks for as many lines as the caller is about to read, far ahead of them. Beyond the end of the data it does nothing.</summary>
    /// <param name="at">What is read now.</param>
    /// <param name="count">A constant number of bytes, at most seven lines.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Ahead(byte* at, int count)
    {
        if (!Sse.IsSupported)
        {
            return;
        }

        Sse.Prefetch0(at + AheadBytes);
        if (count > LineBytes)
        {
            Sse.Prefetch0(at + AheadBytes + LineBytes);
        }

        if (count > 2 * LineBytes)
        {
            Sse.Prefetch0(at + AheadBytes + (2 * LineBytes));
        }

        if (count > 3 * LineBytes)
        {
            Sse.Prefetch0(at + AheadBytes + (3 * LineBytes));
        }

        if (count > 4 * LineBytes)
        {
            Sse.Prefetch0(at + AheadBytes + (4 * LineBytes));
        }

        if (count > 5 * LineBytes)
        {
            Sse.Prefetch0(at + AheadBytes + (5 * LineBytes));
            Sse.Prefetch0(at + AheadBytes + (6 * LineBytes));
        }
    }
}
