using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Testing;

/// <summary>
/// Bytes that end exactly where an unmapped page begins (or start exactly behind one): reading or writing one byte too far kills the
/// process instead of passing unnoticed. On systems other than Linux an ordinary array without the trap.
/// </summary>
public sealed unsafe partial class PoisonBuffer : MemoryManager<byte>
{
    private const int ProtNone = 0;
    private const int ProtReadWrite = 3;
    private const int MapPrivateAnonymous = 0x22;

    private readonly int _lengthBytes;
    private readonly byte[]? _fallback;
    private readonly byte* _start;
    private byte* _map;
    private readonly nuint _mapBytes;

    private PoisonBuffer(int lengthBytes, bool guardBefore)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(lengthBytes);
        _lengthBytes = lengthBytes;
        if (!IsGuarded)
        {
            _fallback = GC.AllocateArray<byte>(lengthBytes, pinned: true);
            _start = (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_fallback, 0);
            return;
        }

        // guard page | data pages | guard page
        nuint page = (nuint)Environment.SystemPageSize;
        nuint dataBytes = ((nuint)lengthBytes + page - 1) / page * page;
        _mapBytes = dataBytes + (2 * page);
        _map = Map(null, _mapBytes, ProtNone, MapPrivateAnonymous, -1, 0);
        if (_map == (byte*)-1 || (dataBytes > 0 && Protect(_map + page, dataBytes, ProtReadWrite) != 0))
        {
            throw new InvalidOperationException($"cannot map {dataBytes} bytes: error {Marshal.GetLastPInvokeError()}");
        }

        _start = guardBefore ? _map + page : _map + page + dataBytes - (nuint)lengthBytes;
    }

    /// <summary>False where the trap does not exist and the buffer is an ordinary array.</summary>
    public static bool IsGuarded => OperatingSystem.IsLinux();

    /// <summary>Address of the first byte; not aligned to anything.</summary>
    public byte* Pointer => _start;

    /// <summary>Zeroed bytes; the first byte after them is unmapped.</summary>
    public static PoisonBuffer EndingAtGuard(int lengthBytes) => new(lengthBytes, guardBefore: false);

    /// <summary>Zeroed bytes; the last byte before them is unmapped.</summary>
    public static PoisonBuffer StartingAtGuard(int lengthBytes) => new(lengthBytes, guardBefore: true);

    /// <summary>A copy of <paramref name="values"/>; the first byte after it is unmapped.</summary>
    public static PoisonBuffer Copy<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(values);
        PoisonBuffer buffer = EndingAtGuard(bytes.Length);
        bytes.CopyTo(buffer.GetSpan());
        return buffer;
    }

    public override Span<byte> GetSpan() => new(_start, _lengthBytes);

    /// <summary>The bytes as elements of <typeparamref name="T"/>; the length must be a whole number of them.</summary>
    public Span<T> As<T>()
        where T : unmanaged => _lengthBytes % sizeof(T) == 0
            ? new Span<T>(_start, _lengthBytes / sizeof(T))
            : throw new InvalidOperationException($"{_lengthBytes} bytes are not whole elements of {sizeof(T)} bytes");

    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        if (_map != null)
        {
            _ = Unmap(_map, _mapBytes);
            _map = null;
        }
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial byte* Map(void* address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(void* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(void* address, nuint length);
}
