using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>Scratch on the stack for loops that write and read 64 bytes at a time: across two cache lines that takes twice as long, and stores do not reach the loads after them directly.</summary>
internal static class AlignedScratch
{
    /// <summary>Values that a buffer needs more than are used.</summary>
    public const int Slack = 16;

    /// <summary>The part of a buffer on the stack that starts at a multiple of 64 bytes.</summary>
    public static Span<float> Of(Span<float> buffer)
    {
        nint address = Unsafe.ByteOffset(ref Unsafe.NullRef<float>(), ref MemoryMarshal.GetReference(buffer));
        return buffer.Slice((int)((-address & 63) / sizeof(float)), buffer.Length - Slack);
    }
}
