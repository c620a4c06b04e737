using System.Runtime.InteropServices;

namespace ModelPack.Compiler.Planning;

/// <summary>Scales stored as f16 or bf16, seen as f32.</summary>
internal sealed class WidenedScales : TensorData
{
    private const int TileValues = 4096;

    private readonly TensorData _stored;
    private readonly bool _half;

    /// <param name="stored">The stored scales.</param>
    /// <param name="scaleType"><c>f16</c> or <c>bf16</c>.</param>
    public WidenedScales(TensorData stored, string scaleType)
        : base(checked(stored.LengthBytes * 2))
    {
        _stored = stored;
        _half = scaleType == "f16";
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        Span<byte> narrow = stackalloc byte[TileValues * 2];
        Span<float> wide = new float[TileValues];
        while (!destination.IsEmpty)
        {
            // Whole values that cover the range; the caller may start and end inside one.
            long first = offsetBytes / 4;
            int skip = (int)(offsetBytes % 4);
            int values = (int)Math.Min(TileValues, (skip + (long)destination.Length + 3) / 4);
            _stored.Read(first * 2, narrow[..(values * 2)]);
            ReadOnlySpan<ushort> source = MemoryMarshal.Cast<byte, ushort>(narrow);
            for (int i = 0; i < values; i++)
            {
                wide[i] = _half ? (float)BitConverter.UInt16BitsToHalf(source[i]) : BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
            }

            int count = Math.Min(destination.Length, (values * 4) - skip);
            MemoryMarshal.AsBytes(wide).Slice(skip, count).CopyTo(destination);
            destination = destination[count..];
            offsetBytes += count;
        }
    }
}
