using System.Buffers.Binary;

namespace ModelPack.Numbers;

/// <summary>The f16 scales of blocks.</summary>
internal static class GgufHalf
{
    public static float Read(ReadOnlySpan<byte> at) => HalfWidthReference.WidenHalf(BinaryPrimitives.ReadUInt16LittleEndian(at));

    /// <summary>Writes nearest even; false when the value is too large.</summary>
    public static bool TryWrite(Span<byte> at, float value)
    {
        ushort code = (ushort)SmallFloatReference.Encode(value, SmallFloatFormat.Half);
        BinaryPrimitives.WriteUInt16LittleEndian(at, code);
        return (code & 0x7FFF) < 0x7C00;
    }

    /// <summary>Nearest integer, ties to even, as adding 1.5 x 2^23 does it.</summary>
    public static int Nearest(float value) => (BitConverter.SingleToInt32Bits(value + 12582912f) & 0x7FFFFF) - 0x400000;

    /// <summary>The value of largest magnitude, the first of several, with its sign.</summary>
    public static float Largest(ReadOnlySpan<float> values)
    {
        float magnitude = 0;
        float largest = 0;
        foreach (float value in values)
        {
            if (Math.Abs(value) > magnitude)
            {
                magnitude = Math.Abs(value);
                largest = value;
            }
        }

        return largest;
    }
}
