using System.Numerics;

namespace ModelPack.Containers.Onnx;

/// <summary>Sizes and bytes of protobuf primitives.</summary>
internal static class WireSize
{
    public static int Varint(ulong value) => (BitOperations.Log2(value | 1) / 7) + 1;

    public static ulong Tag(int field, WireType type) => ((ulong)(uint)field << 3) | (byte)type;

    /// <summary>Writes a varint to the start of <paramref name="destination"/> and returns its size.</summary>
    public static int WriteVarint(Span<byte> destination, ulong value)
    {
        int n = 0;
        while (value >= 0x80)
        {
            destination[n++] = (byte)(value | 0x80);
            value >>= 7;
        }

        destination[n++] = (byte)value;
        return n;
    }
}
