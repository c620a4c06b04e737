using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Toolchain;

/// <summary>Values of a floating-point tensor as f32, in an array that is used again.</summary>
internal sealed class PooledFloats : IDisposable
{
    private readonly float[] _rented;

    private PooledFloats(int count)
    {
        _rented = ArrayPool<float>.Shared.Rent(count);
        Memory = _rented.AsMemory(0, count);
    }

    /// <summary>The values.</summary>
    public Memory<float> Memory { get; }

    /// <exception cref="ModelPackException">MP2212: not a floating-point type.</exception>
    public static PooledFloats Of(string name, DType dtype, ReadOnlySpan<byte> bytes)
    {
        switch (dtype)
        {
            case DType.F32:
                var floats = new PooledFloats(bytes.Length / sizeof(float));
                bytes.CopyTo(MemoryMarshal.AsBytes(floats.Memory.Span));
                return floats;
            case DType.F16 or DType.BF16:
                ReadOnlySpan<ushort> words = MemoryMarshal.Cast<byte, ushort>(bytes);
                var wide = new PooledFloats(words.Length);
                Span<float> to = wide.Memory.Span;
                for (int i = 0; i < to.Length; i++)
                {
                    to[i] = dtype == DType.F16 ? (float)BitConverter.UInt16BitsToHalf(words[i]) : BitConverter.UInt32BitsToSingle((uint)words[i] << 16);
                }

                return wide;
            default:
                throw new ModelPackException(ErrorCodes.CalibrationShape, $"value '{name}' is {dtype.Name()}, not floating point");
        }
    }

    public void Dispose() => ArrayPool<float>.Shared.Return(_rented);
}
