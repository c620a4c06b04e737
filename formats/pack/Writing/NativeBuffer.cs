using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Pack;

/// <summary>Native memory as <see cref="Memory{T}"/>: large, aligned to 64 bytes, and given back to the system the moment it is freed.</summary>
internal sealed unsafe class NativeBuffer : MemoryManager<byte>
{
    private byte* _pointer;

    public NativeBuffer(int capacityBytes)
    {
        CapacityBytes = capacityBytes;
        _pointer = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(capacityBytes, 1), 64);
    }

    public int CapacityBytes { get; }

    public override Span<byte> GetSpan()
    {
        ObjectDisposedException.ThrowIf(_pointer == null, this);
        return new Span<byte>(_pointer, CapacityBytes);
    }

    public override MemoryHandle Pin(int elementIndex = 0) => new(_pointer + elementIndex, pinnable: this);

    public override void Unpin()
    {
    }

    public void Free() => ((IDisposable)this).Dispose();

    protected override void Dispose(bool disposing)
    {
        NativeMemory.AlignedFree(_pointer);
        _pointer = null;
    }
}
