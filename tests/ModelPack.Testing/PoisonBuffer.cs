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

    /// <summary>Buffers of up to this many pages are kept for the next one of the size: tests make millions, and a mapping costs more than most of what is done with it.</summary>
    private const int KeptPages = 16;

    private const int KeptPerSize = 16;

    /// <summary>Mappings that no buffer uses, by their data pages.</summary>
    private static readonly Stack<nint>[] Kept = [.. Enumerable.Range(0, KeptPages + 1).Select(_ => new Stack<nint>())];

    private readonly int _lengthBytes;
    private readonly int _pages;
    private readonly byte[]? _fallback;
    private readonly byte* _start;
    private byte* _map;

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

        nuint page = (nuint)Environment.SystemPageSize;
        _pages = (int)(((nuint)lengthBytes + page - 1) / page);
        nuint dataBytes = (nuint)_pages * page;
        _map = Take(_pages);
        _start = guardBefore ? _map + page : _map + page + dataBytes - (nuint)lengthBytes;
        GetSpan().Clear();
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
        if (_map != null && !Keep(_map, _pages))
        {
            _ = Unmap(_map, MapBytes(_pages));
        }

        _map = null;
    }

    private static bool Keep(byte* map, int pages)
    {
        if (pages > KeptPages)
        {
            return false;
        }

        lock (Kept[pages])
        {
            if (Kept[pages].Count == KeptPerSize)
            {
                return false;
            }

            Kept[pages].Push((nint)map);
            return true;
        }
    }

    /// <summary>guard page | data pages | guard page, with whatever an earlier buffer left in the data.</summary>
    private static byte* Take(int pages)
    {
        if (pages <= KeptPages)
        {
            lock (Kept[pages])
            {
                if (Kept[pages].TryPop(out nint kept))
                {
                    return (byte*)kept;
                }
            }
        }

        nuint page = (nuint)Environment.SystemPageSize;
        byte* map = Map(null, MapBytes(pages), ProtNone, MapPrivateAnonymous, -1, 0);
        return map != (byte*)-1 && (pages == 0 || Protect(map + page, (nuint)pages * page, ProtReadWrite) == 0)
            ? map
            : throw new InvalidOperationException($"cannot map {pages} pages: error {Marshal.GetLastPInvokeError()}");
    }

    private static nuint MapBytes(int pages) => ((nuint)pages + 2) * (nuint)Environment.SystemPageSize;

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial byte* Map(void* address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(void* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(void* address, nuint length);
}
