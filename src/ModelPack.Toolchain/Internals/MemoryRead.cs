using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Toolchain;

/// <summary>Reads memory as fast as one core can: what kernels that read their weights once are measured against.</summary>
internal static unsafe class MemoryRead
{
    /// <summary>How far ahead of the loads memory is asked for, in bytes, in the second way of reading.</summary>
    private const int Ahead = 4096;

    private static byte s_sink;

    /// <summary>Reads every byte but a tail below 256.</summary>
    /// <param name="from">Start.</param>
    /// <param name="lengthBytes">Length.</param>
    /// <param name="prefetch">Ask for memory ahead of the loads: faster on some processors, slower on others.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* from, long lengthBytes, bool prefetch)
    {
        Vector512<byte> a = Vector512<byte>.Zero;
        Vector512<byte> b = a;
        Vector512<byte> c = a;
        Vector512<byte> d = a;
        int ahead = prefetch && Sse.IsSupported ? Ahead : 0;
        for (byte* end = from + (lengthBytes & -256); from < end; from += 256)
        {
            if (ahead > 0)
            {
                Sse.Prefetch0(from + ahead);
                Sse.Prefetch0(from + ahead + 64);
                Sse.Prefetch0(from + ahead + 128);
                Sse.Prefetch0(from + ahead + 192);
            }

            a ^= Vector512.Load(from);
            b ^= Vector512.Load(from + 64);
            c ^= Vector512.Load(from + 128);
            d ^= Vector512.Load(from + 192);
        }

        s_sink = (a ^ b ^ c ^ d)[0];
    }
}
