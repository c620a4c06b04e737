using System.Buffers;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <summary>
/// One tensor seen through another: its differences from the base, or from differences and base the tensor again. Computed as they are read, so that no tensor is ever held.
/// </summary>
internal sealed class DifferenceData : TensorData
{
    /// <summary>Bytes of the base held at once.</summary>
    private const int PieceBytes = 64 << 10;

    private readonly TensorData _data;
    private readonly TensorData _base;
    private readonly int _width;
    private readonly bool _restore;

    /// <param name="data">The tensor, or its differences.</param>
    /// <param name="against">The base tensor; as long.</param>
    /// <param name="width">Bytes of an element; divides the length.</param>
    /// <param name="restore">True to give the tensor, false to give the differences.</param>
    public DifferenceData(TensorData data, TensorData against, int width, bool restore)
        : base(data.LengthBytes)
    {
        if (against.LengthBytes != data.LengthBytes || data.LengthBytes % width != 0)
        {
            throw new ArgumentException($"{data.LengthBytes} bytes cannot be compared with {against.LengthBytes} in elements of {width}", nameof(against));
        }

        (_data, _base, _width, _restore) = (data, against, width, restore);
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        int skip = (int)(offsetBytes % _width);
        int whole = skip == 0 ? destination.Length - (destination.Length % _width) : 0;
        byte[] piece = ArrayPool<byte>.Shared.Rent(Math.Clamp(whole, 2 * sizeof(ulong), PieceBytes));
        try
        {
            if (whole > 0)
            {
                // In one read, so that whole chunks are decoded in place.
                _data.Read(offsetBytes, destination[..whole]);
                for (int at = 0; at < whole; at += PieceBytes)
                {
                    Apply(offsetBytes + at, destination[at..Math.Min(at + PieceBytes, whole)], piece);
                }

                destination = destination[whole..];
                offsetBytes += whole;
            }

            // Elements that a read cuts at its ends.
            Span<byte> element = stackalloc byte[_width];
            while (!destination.IsEmpty)
            {
                skip = (int)(offsetBytes % _width);
                if (skip == 0 && destination.Length >= _width)
                {
                    ReadCore(offsetBytes, destination);
                    return;
                }

                _data.Read(offsetBytes - skip, element);
                Apply(offsetBytes - skip, element, piece);
                int n = Math.Min(_width - skip, destination.Length);
                element.Slice(skip, n).CopyTo(destination);
                destination = destination[n..];
                offsetBytes += n;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }
    }

    private void Apply(long offsetBytes, Span<byte> elements, byte[] piece)
    {
        Span<byte> other = piece.AsSpan(0, elements.Length);
        _base.Read(offsetBytes, other);
        if (_restore)
        {
            DeltaKernel.Add(elements, other, _width);
        }
        else
        {
            DeltaKernel.Subtract(elements, other, _width);
        }
    }
}
