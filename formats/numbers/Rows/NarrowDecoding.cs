using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>Decoding to 16-bit floats by way of f32: some whole rows at a time into a scratch that stays in the first-level cache, then rounded from there.</summary>
internal static class NarrowDecoding
{
    /// <summary>Values of a piece, 32 KiB of f32; a longer row is a piece of its own.</summary>
    private const int PieceValues = 8 << 10;

    /// <summary>Streams of the format with the most.</summary>
    private const int MaxStreams = 8;

    /// <summary>Bytes per value.</summary>
    /// <exception cref="ArgumentException">Not a type that rows are decoded to.</exception>
    public static int Width(DType dtype) => dtype switch
    {
        DType.F32 => sizeof(float),
        DType.BF16 or DType.F16 => sizeof(ushort),
        _ => throw new ArgumentException($"rows are decoded to f32, bf16 and f16, not to {dtype.Name()}", nameof(dtype)),
    };

    /// <summary>Number of values that fit <paramref name="bytes"/>.</summary>
    /// <exception cref="ArgumentException">Not a type that rows are decoded to, or not whole values.</exception>
    public static int Count(DType dtype, int bytes)
    {
        int width = Width(dtype);
        return bytes % width == 0 ? bytes / width : throw new ArgumentException($"{bytes} bytes are no whole number of {dtype.Name()}");
    }

    /// <summary>Decodes rows whose buffers have the right lengths, piece by piece.</summary>
    /// <param name="format">The format, asked for f32.</param>
    /// <param name="columns">Values per row.</param>
    /// <param name="streams">Its streams.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="dtype">BF16 or F16.</param>
    /// <param name="values">Destination.</param>
    /// <param name="tier">Of the rounding.</param>
    public static void Run(IBoundNumberFormat format, int columns, ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, DType dtype, Span<byte> values, SimdTier tier)
    {
        int step = Math.Clamp(PieceValues / Math.Max(columns, 1), 1, rows);
        float[] scratch = ArrayPool<float>.Shared.Rent(step * columns);
        var slices = default(Slices);
        Span<ReadOnlyMemory<byte>> part = ((Span<ReadOnlyMemory<byte>>)slices)[..streams.Length];
        try
        {
            for (int r = 0; r < rows; r += step)
            {
                int count = Math.Min(step, rows - r);
                for (int s = 0; s < part.Length; s++)
                {
                    int perRow = (int)format.Streams[s].BytesPerRow;
                    part[s] = streams[s].Slice(r * perRow, count * perRow);
                }

                Span<float> piece = scratch.AsSpan(0, count * columns);
                format.DecodeRows(part, count, piece);
                Narrow(piece, dtype, values.Slice(r * columns * sizeof(ushort), piece.Length * sizeof(ushort)), tier);
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(scratch);
        }
    }

    /// <summary>Rounds f32 to BF16 or F16.</summary>
    public static void Narrow(ReadOnlySpan<float> values, DType dtype, Span<byte> destination, SimdTier tier)
    {
        Span<ushort> words = MemoryMarshal.Cast<byte, ushort>(destination);
        if (dtype == DType.BF16)
        {
            WideFloatKernels.NarrowBf16(values, words, tier);
        }
        else
        {
            WideFloatKernels.NarrowHalf(values, words, tier);
        }
    }

    [InlineArray(MaxStreams)]
    private struct Slices
    {
        private ReadOnlyMemory<byte> _first;
    }
}
