namespace ModelPack.Compiler.Linear;

/// <summary>f32 numbers in native memory as tensor data; owns the memory.</summary>
internal sealed class NativeTensorData(NativeArray<float> values) : TensorData(values.Length * sizeof(float)), IDisposable
{
    public void Dispose() => values.Dispose();

    protected override void ReadCore(long offsetBytes, Span<byte> destination) => values.As<byte>(offsetBytes, destination.Length).CopyTo(destination);
}
