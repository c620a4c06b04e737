using System.Runtime.InteropServices;
using ModelPack.Kernels;

namespace ModelPack.Runtime.Native;

/// <summary>
/// Native memory for one decoded weight. It lives only until the session is created, because ONNX Runtime copies or repacks every weight it is given and keeps no reference (see <see cref="OrtTable.AddExternalFilesInMemory"/>);
/// or, in execution layout, as long as the session (<see cref="Loading.WeightsInPlace"/>).
/// </summary>
internal sealed unsafe class WeightBuffer : IDisposable
{
    /// <summary>Cache line of every current CPU, and what ONNX Runtime uses for its own buffers.</summary>
    private const nuint AlignmentBytes = 64;

    /// <summary>Buffers from this size on are the system's own: freed ones leave the process, whatever was allocated after them.</summary>
    private const long LeastMappedBytes = 256 << 10;

    private static long _liveBytes;

    /// <summary>What was mapped, from where on; 0 where the C library has the memory.</summary>
    private readonly nint _mapping;
    private readonly long _mappedBytes;

    /// <summary>The memory is another owner's.</summary>
    private readonly bool _isBorrowed;

    private void* _data;

    internal WeightBuffer(long lengthBytes)
    {
        LengthBytes = lengthBytes;
        bool isLarge = lengthBytes >= HugePages.LeastBytes;
        nint alignment = isLarge ? (nint)HugePages.PageBytes : (nint)AlignmentBytes;
        if (lengthBytes >= LeastMappedBytes)
        {
            _mappedBytes = lengthBytes + (isLarge ? alignment : 0);
            _mapping = AnonymousMemory.Map(_mappedBytes);
        }

        _data = _mapping != 0
            ? (void*)((_mapping + alignment - 1) & -alignment)
            : NativeMemory.AlignedAlloc((nuint)Math.Max(1, lengthBytes), (nuint)alignment); // Never null, also for no bytes.
        if (isLarge)
        {
            HugePages.Prefer((nint)_data, lengthBytes);
        }

        Interlocked.Add(ref _liveBytes, lengthBytes);
        if (lengthBytes > 0)
        {
            GC.AddMemoryPressure(lengthBytes);
        }
    }

    /// <summary>Memory of another owner.</summary>
    private WeightBuffer(void* data, long lengthBytes)
    {
        LengthBytes = lengthBytes;
        _isBorrowed = true;
        _data = data;
        GC.SuppressFinalize(this);
    }

    ~WeightBuffer() => Free();

    /// <summary>A part of memory that another owner frees, later than this is disposed.</summary>
    /// <param name="address">Where it begins.</param>
    /// <param name="lengthBytes">Its length.</param>
    internal static WeightBuffer Over(nint address, long lengthBytes) => new((void*)address, lengthBytes);

    /// <summary>Bytes allocated and not yet freed in this process, for leak tests.</summary>
    internal static long LiveBytes => Interlocked.Read(ref _liveBytes);

    internal long LengthBytes { get; }

    internal nint Address => (nint)_data;

    /// <summary>A part of the buffer.</summary>
    internal Span<byte> Slice(long offsetBytes, int lengthBytes)
    {
        if (_data == null || offsetBytes < 0 || lengthBytes < 0 || lengthBytes > LengthBytes - offsetBytes)
        {
            throw new ArgumentOutOfRangeException(nameof(offsetBytes));
        }

        return new Span<byte>((byte*)_data + offsetBytes, lengthBytes);
    }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        void* data = _data;
        _data = null;
        if (data != null && !_isBorrowed)
        {
            if (_mapping != 0)
            {
                AnonymousMemory.Unmap(_mapping, _mappedBytes);
            }
            else
            {
                NativeMemory.AlignedFree(data);
            }

            Interlocked.Add(ref _liveBytes, -LengthBytes);
            if (LengthBytes > 0)
            {
                GC.RemoveMemoryPressure(LengthBytes);
            }
        }
    }
}
