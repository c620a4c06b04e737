using System.Runtime.InteropServices;

namespace ModelPack.Containers;

/// <summary>
/// A block of native memory for bytes that are parsed once. A 100 MB header leaves no trace on the managed heap, and unlike a mapped view
/// it stays readable when someone truncates the file meanwhile.
/// </summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    private readonly int _length;
    private void* _start;

    private NativeBuffer(int length)
    {
        _start = NativeMemory.Alloc((nuint)Math.Max(1, length));
        _length = length;
    }

    /// <summary>The bytes, valid until <see cref="Dispose"/>.</summary>
    public Span<byte> Span => new(_start, _length);

    /// <summary>Copies a range of <paramref name="file"/>.</summary>
    /// <exception cref="ModelPackException">MP1002, MP1003.</exception>
    public static NativeBuffer Read(MappedFile file, long offsetBytes, int lengthBytes)
    {
        var buffer = new NativeBuffer(lengthBytes);
        try
        {
            file.Read(offsetBytes, buffer.Span);
            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        NativeMemory.Free(_start);
        _start = null;
    }
}
