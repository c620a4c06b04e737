using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace ModelPack.Runtime.Generation;

/// <summary>
/// For graphs that write new keys and values behind those that are there (GroupQueryAttention): past and present are one tensor [1, heads, capacity, channels], of which a run writes the new tokens and copies nothing.
/// </summary>
/// <remarks>
/// The capacity grows by half, and the heads are moved apart then: the operator takes room for scores of all of it, so that it is not taken for the whole text at once. The memory itself is: pages that nothing was
/// written to are not there.
/// </remarks>
/// <param name="name">The input that reads them.</param>
/// <param name="type">Type of an element.</param>
/// <param name="elementBytes">Its size.</param>
/// <param name="heads">Heads.</param>
/// <param name="channels">Elements of a head of a token.</param>
internal sealed unsafe class SharedKeyValues(string name, TensorElementType type, int elementBytes, long heads, long channels) : IKeyValueMemory
{
    /// <summary>Least room for further tokens when room is made.</summary>
    private const long LeastRoom = 128;

    private readonly long _rowBytes = channels * elementBytes;
    private byte* _memory;
    private long _allocated; // tokens
    private long _capacity; // tokens of the tensor
    private OrtValue? _view;
    private bool _disposed;

    /// <inheritdoc/>
    public string Name { get; } = name;

    /// <inheritdoc/>
    public long AllocatedBytes => _allocated * heads * _rowBytes;

    /// <inheritdoc/>
    public OrtValue Past => _view!;

    /// <inheritdoc/>
    public OrtValue Present => _view!;

    /// <inheritdoc/>
    public void Prepare(long past, long total, long expected)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (total <= _capacity)
        {
            return;
        }

        long capacity = total + Math.Max(LeastRoom, total / 2);
        capacity = expected < total ? capacity : Math.Min(capacity, expected);
        DropView();
        if (capacity > _allocated)
        {
            Move(past, capacity, Math.Max(capacity, expected));
        }
        else
        {
            Spread(past, capacity);
        }

        _capacity = capacity;
        _view = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, [1, heads, capacity, channels], (nint)_memory, capacity * heads * _rowBytes);
    }

    /// <inheritdoc/>
    public void Advance()
    {
    }

    /// <inheritdoc/>
    public void Reset()
    {
        DropView();
        _capacity = 0;
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            DropView();
            NativeMemory.AlignedFree(_memory);
        }
    }

    private void DropView()
    {
        _view?.Dispose();
        _view = null;
    }

    /// <summary>To other memory.</summary>
    private void Move(long tokens, long capacity, long allocated)
    {
        byte* memory = (byte*)NativeMemory.AlignedAlloc(checked((nuint)(allocated * heads * _rowBytes)), KeyValueBuffers.Alignment);
        for (long head = 0; head < heads; head++)
        {
            CopyHead(memory, head, tokens, capacity);
        }

        NativeMemory.AlignedFree(_memory);
        _memory = memory;
        _allocated = allocated;
    }

    /// <summary>In the same memory, the last head first: none is written over before it was moved.</summary>
    private void Spread(long tokens, long capacity)
    {
        for (long head = heads - 1; head > 0; head--)
        {
            CopyHead(_memory, head, tokens, capacity);
        }
    }

    private void CopyHead(byte* to, long head, long tokens, long capacity)
    {
        long bytes = tokens * _rowBytes;
        Buffer.MemoryCopy(_memory + (head * _capacity * _rowBytes), to + (head * capacity * _rowBytes), bytes, bytes);
    }
}
