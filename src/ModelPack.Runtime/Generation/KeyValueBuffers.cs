using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace ModelPack.Runtime.Generation;

/// <summary>
/// Memory for keys or values of a sequence, taken before they are there: a run reads them from one buffer and writes them, with what is new, to the other. No run allocates until both are full; then they double.
/// </summary>
/// <param name="name">The input that reads them.</param>
/// <param name="type">Type of an element.</param>
/// <param name="elementBytes">Its size.</param>
/// <param name="heads">Heads.</param>
/// <param name="channels">Elements of a head of a token.</param>
internal sealed unsafe class KeyValueBuffers(string name, TensorElementType type, int elementBytes, long heads, long channels) : IDisposable
{
    private const nuint Alignment = 64;

    private readonly nint[] _memory = new nint[2];
    private readonly long[] _capacity = new long[2];
    private int _current;
    private bool _disposed;

    /// <summary>Name of the input.</summary>
    public string Name { get; } = name;

    /// <summary>Bytes that both buffers take.</summary>
    public long AllocatedBytes => (_capacity[0] + _capacity[1]) * heads * channels * elementBytes;

    /// <summary>What is there, for a run to read.</summary>
    /// <param name="tokens">Tokens that are there.</param>
    public OrtValue Past(long tokens) => View(_current, tokens, tokens);

    /// <summary>Room for a run to write to.</summary>
    /// <param name="tokens">Tokens there will be.</param>
    /// <param name="expected">Tokens there are going to be in the end, as far as is known.</param>
    public OrtValue Present(long tokens, long expected) => View(1 - _current, tokens, Math.Max(tokens, expected));

    /// <summary>What was written is what is there.</summary>
    public void Swap() => _current = 1 - _current;

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            NativeMemory.AlignedFree((void*)_memory[0]);
            NativeMemory.AlignedFree((void*)_memory[1]);
        }
    }

    private OrtValue View(int buffer, long tokens, long room)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_capacity[buffer] < tokens || _memory[buffer] == 0)
        {
            long capacity = Math.Max(1, _capacity[buffer] == 0 ? room : Math.Max(room, 2 * _capacity[buffer]));
            NativeMemory.AlignedFree((void*)_memory[buffer]);
            _memory[buffer] = 0;
            _memory[buffer] = (nint)NativeMemory.AlignedAlloc(checked((nuint)(capacity * heads * channels * elementBytes)), Alignment);
            _capacity[buffer] = capacity;
        }

        return OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, [1, heads, tokens, channels], _memory[buffer], tokens * heads * channels * elementBytes);
    }
}
