using System.Runtime.InteropServices;

namespace ModelPack.Runtime.Loading;

/// <summary>16-bit floats to f32.</summary>
internal static class Widen
{
    /// <summary>Widens in increasing order, reading each value before anything at or above its place is written.</summary>
    /// <param name="type"><see cref="DType.F16"/> or <see cref="DType.BF16"/>.</param>
    /// <param name="narrow">Two bytes per value; may be the second half of <paramref name="wide"/>.</param>
    /// <param name="wide">Four bytes per value.</param>
    internal static void ToSingle(DType type, ReadOnlySpan<byte> narrow, Span<byte> wide)
    {
        ReadOnlySpan<ushort> source = MemoryMarshal.Cast<byte, ushort>(narrow);
        Span<float> values = MemoryMarshal.Cast<byte, float>(wide)[..source.Length];
        if (type == DType.BF16)
        {
            for (int i = 0; i < source.Length; i++)
            {
                values[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
            }
        }
        else
        {
            for (int i = 0; i < source.Length; i++)
            {
                values[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
            }
        }
    }
}
