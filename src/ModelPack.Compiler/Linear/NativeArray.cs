using System.Runtime.InteropServices;

namespace ModelPack.Compiler.Linear;

/// <summary>A matrix-sized buffer outside of the managed heap: given back when disposed, not when the collector gets to it, so that memory stays within its budget. Zeroed.</summary>
/// <typeparam name="T">Element type.</typeparam>
public sealed unsafe class NativeArray<T> : IDisposable
    where T : unmanaged
{
    private const nuint AlignmentBytes = 64;

    private T* _data;

    /// <param name="length">Elements.</param>
    public NativeArray(long length)
    {
        Length = length;
        nuint bytes = checked((nuint)Math.Max(1, length) * (nuint)sizeof(T));
        _data = (T*)NativeMemory.AlignedAlloc(bytes, AlignmentBytes);
        NativeMemory.Clear(_data, bytes);
        GC.AddMemoryPressure((long)bytes);
    }

    ~NativeArray() => Free();

    /// <summary>Number of elements.</summary>
    public long Length { get; private set; }

    /// <summary>The bytes seen as another type, for narrowing in place; the array keeps the memory.</summary>
    public Span<TOther> As<TOther>(long offset, int length)
        where TOther : unmanaged
    {
        ObjectDisposedException.ThrowIf(_data == null, this);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((offset + length) * sizeof(TOther), Length * sizeof(T));
        return new Span<TOther>((TOther*)_data + offset, length);
    }

    /// <summary>A part.</summary>
    public Span<T> Slice(long offset, int length) => As<T>(offset, length);

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        if (_data != null)
        {
            NativeMemory.AlignedFree(_data);
            GC.RemoveMemoryPressure(Math.Max(1, Length) * sizeof(T));
            _data = null;
        }
    }
}
