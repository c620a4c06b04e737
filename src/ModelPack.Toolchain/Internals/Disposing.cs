namespace ModelPack.Toolchain;

/// <summary>Disposes of a value whose type may or may not need it.</summary>
internal sealed class Disposing<T>(T value) : IDisposable
    where T : class
{
    public T Value { get; } = value;

    public void Dispose() => (Value as IDisposable)?.Dispose();
}
