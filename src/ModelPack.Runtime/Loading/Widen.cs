namespace ModelPack.Runtime.Loading;

/// <summary>16-bit floats to f32.</summary>
internal static unsafe class Widen
{
    /// <summary>Widens in increasing order, reading each value before anything at or above its place is written.</summary>
    /// <param name="type"><see cref="DType.F16"/> or <see cref="DType.BF16"/>.</param>
    /// <param name="narrow">Two bytes per value; may be the second half of the destination.</param>
    /// <param name="wide">Four bytes per value.</param>
    /// <param name="count">Number of values.</param>
    internal static void ToSingle(DType type, nint narrow, nint wide, long count)
    {
        ushort* source = (ushort*)narrow;
        float* destination = (float*)wide;
        if (type == DType.BF16)
        {
            for (long i = 0; i < count; i++)
            {
                destination[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
            }
        }
        else
        {
            for (long i = 0; i < count; i++)
            {
                destination[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
            }
        }
    }
}
