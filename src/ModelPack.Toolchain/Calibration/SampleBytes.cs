using ModelPack.Compiler.Linear;

namespace ModelPack.Toolchain;

/// <summary>Bytes in native memory, freed when the last of those who share them lets go.</summary>
internal sealed class SampleBytes : TensorData, IDisposable
{
    private readonly NativeArray<byte> _bytes;
    private readonly SampleBudget _budget;
    private int _owners = 1;

    public SampleBytes(ReadOnlySpan<byte> bytes, SampleBudget budget)
        : base(bytes.Length)
    {
        _bytes = new NativeArray<byte>(bytes.Length);
        _budget = budget;
        bytes.CopyTo(_bytes.Slice(0, bytes.Length));
    }

    /// <summary>Another owner.</summary>
    public SampleBytes Share()
    {
        Interlocked.Increment(ref _owners);
        return this;
    }

    /// <summary>One owner less.</summary>
    public void Dispose()
    {
        if (Interlocked.Decrement(ref _owners) == 0)
        {
            _bytes.Dispose();
            _budget.Give(LengthBytes);
        }
    }

    /// <summary>True for the same bytes.</summary>
    public bool Equal(ReadOnlySpan<byte> other) => other.Length == LengthBytes && other.SequenceEqual(_bytes.Slice(0, other.Length));

    protected override void ReadCore(long offsetBytes, Span<byte> destination) => _bytes.Slice(offsetBytes, destination.Length).CopyTo(destination);
}
