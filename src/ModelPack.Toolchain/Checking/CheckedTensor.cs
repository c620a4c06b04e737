using System.Buffers;

namespace ModelPack.Toolchain;

/// <summary>A tensor of a file as it is checked.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Shape">Its shape.</param>
/// <param name="Data">Its bytes.</param>
internal sealed record CheckedTensor(string Name, DType DType, Shape Shape, TensorData Data)
{
    private const int TileBytes = 1 << 18;

    /// <summary>Looks at every element of a floating-point tensor.</summary>
    /// <param name="notFinite">True when one is NaN or infinite.</param>
    /// <param name="notPositive">True when one is zero or negative.</param>
    /// <param name="cancellation">Stops.</param>
    public void Scan(out bool notFinite, out bool notPositive, CancellationToken cancellation)
    {
        notFinite = false;
        notPositive = false;
        byte[] tile = ArrayPool<byte>.Shared.Rent(TileBytes);
        try
        {
            for (long offset = 0; offset < Data.LengthBytes; offset += TileBytes)
            {
                cancellation.ThrowIfCancellationRequested();
                Span<byte> part = tile.AsSpan(0, (int)Math.Min(TileBytes, Data.LengthBytes - offset));
                Data.Read(offset, part);
                switch (DType)
                {
                    case DType.F32:
                        foreach (float value in System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(part))
                        {
                            notFinite |= !float.IsFinite(value);
                            notPositive |= value <= 0;
                        }

                        break;
                    case DType.F16 or DType.BF16:
                        int exponent = DType == DType.F16 ? 0x7C00 : 0x7F80;
                        foreach (ushort bits in System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ushort>(part))
                        {
                            notFinite |= (bits & exponent) == exponent;
                            notPositive |= (bits & 0x7FFF) == 0 || bits >= 0x8000;
                        }

                        break;
                    case DType.F8E4M3FN:
                        foreach (byte code in part)
                        {
                            notFinite |= (code & 0x7F) == 0x7F;
                            notPositive |= (code & 0x7F) == 0 || code >= 0x80;
                        }

                        break;
                    default:
                        return;
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(tile);
        }
    }

    /// <summary>True when a byte has the value.</summary>
    public bool Contains(byte value, CancellationToken cancellation)
    {
        byte[] tile = new byte[(int)Math.Min(TileBytes, Data.LengthBytes)];
        for (long offset = 0; offset < Data.LengthBytes; offset += tile.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            Span<byte> part = tile.AsSpan(0, (int)Math.Min(tile.Length, Data.LengthBytes - offset));
            Data.Read(offset, part);
            if (part.Contains(value))
            {
                return true;
            }
        }

        return false;
    }
}
