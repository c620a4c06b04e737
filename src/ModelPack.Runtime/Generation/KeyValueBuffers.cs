using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace ModelPack.Runtime.Generation;

/// <summary>
/// For graphs that give keys and values anew (Concat): a run reads them from one buffer and writes them, with what is new, to the other. No run allocates until both are full; then they double.
/// </summary>
/// <param name="name">The input that reads them.</param>
/// <param name="type">Type of an element.</param>
/// <param name="elementBytes">Its size.</param>
/// <param name="heads">Heads.</param>
/// <param name="channels">Elements of a head of a token.</param>
internal sealed unsafe class KeyValueBuffers(string name, TensorElementType type, int elementBytes, long heads, long channels) : IKeyValueMemory
{
    /// <summary>Of every buffer, in bytes.</summary>
    internal const nuint Alignment = 64;

    private readonly nint[] _memory = new nint[2];
    private readonly long[] _capacity = new long[2];
    private OrtValue? _past;
    private OrtValue? _present;
    private int _current;
    private bool _disposed;

    /// <inheritdoc/>
    public string Name { get; } = name;

    /// <inheritdoc/>
    public long AllocatedBytes => (_capacity[0] + _capacity[1]) * heads * channels * elementBytes;

    /// <inheritdoc/>
    public OrtValue Past => _past!;

    /// <inheritdoc/>
    public OrtValue Present => _present!;

    /// <inheritdoc/>
    public void Prepare(long past, long total, long expected)
    {
        DropViews();
        _past = View(_current, past, past);
        _present = View(1 - _current, total, Math.Max(total, expected));
    }

    /// <inheritdoc/>
    public void Advance() => _current = 1 - _current;

    /// <inheritdoc/>
    public void Reset() => DropViews();

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            DropViews();
            NativeMemory.AlignedFree((void*)_memory[0]);
            NativeMemory.AlignedFree((void*)_memory[1]);
        }
    }

    private void DropViews()
    {
        _past?.Dispose();
        _present?.Dispose();
        _past = _present = null;
    }

    private OrtValue View(int buffer, long tokens, long room)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_capacity[buffer] < tokens || _memory[buffer] == 0)
        {
            long capacity = Math.Max(1, _capacity[buffer] == 0 ? room : Math.Max(room, 2 * _capacity[buffer]));
            NativeMemory.AlignedFree((void*)_memory[buffer]);
            _memory[buffer] = 0;
            _capacity[buffer] = 0;
            _memory[buffer] = (nint)NativeMemory.AlignedAlloc(checked((nuint)(capacity * heads * channels * elementBytes)), Alignment);
            _capacity[buffer] = capacity;
        }

        return OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, [1, heads, tokens, channels], _memory[buffer], tokens * heads * channels * elementBytes);
    }
}
