using System.Buffers;

namespace ModelPack.Codecs;

/// <summary>A size to measure codecs by, computed from its definition: what ZipNN (Hershcovitch et al., 2024) makes of a tensor.</summary>
public static class ZipNnSize
{
    private const int ChunkBytes = 256 << 10;
    private const int Fp8ChunkBytes = 128 << 10;
    private const int FileBytes = 32;
    private const int GroupBytes = 9;
    private const int JumpTableBytes = 6;

    /// <summary>Bytes of a Huffman table as zstd writes it: FSE-coded weights, 15 to 30 bytes for exponents.</summary>
    private const int TableBytes = 24;

    /// <summary>
    /// Bytes of one tensor packed alone by ZipNN: per chunk of 256 KiB (8-bit floats: 128 KiB) and byte of the word (bf16 and f32 rotated to exponent, sign, mantissa) one order-0 Huffman block of lengths up to
    /// 11, kept below 95 %. Types it does not know are stored.
    /// </summary>
    /// <param name="tensor">The bytes of the tensor, little-endian.</param>
    /// <param name="type">What they are.</param>
    public static long Of(ReadOnlySpan<byte> tensor, DType type)
    {
        (int width, int moved) = type switch
        {
            DType.BF16 => (2, 8),
            DType.F16 => (2, 0),
            DType.F32 => (4, 8),
            DType.F8E4M3FN or DType.F8E4M3FNUZ or DType.F8E5M2 or DType.F8E5M2FNUZ => (1, 0),
            _ => (0, 0),
        };
        if (width == 0)
        {
            return FileBytes + tensor.Length;
        }

        long bytes = FileBytes;
        int chunkBytes = width == 1 ? Fp8ChunkBytes : ChunkBytes;
        byte[] scratch = ArrayPool<byte>.Shared.Rent(chunkBytes);
        for (int at = 0; at < tensor.Length; at += chunkBytes)
        {
            ReadOnlySpan<byte> chunk = tensor.Slice(at, Math.Min(chunkBytes, tensor.Length - at));
            int elements = chunk.Length / width;
            Span<byte> planes = scratch.AsSpan(0, elements * width);
            if (width == 1)
            {
                chunk.CopyTo(planes);
            }
            else
            {
                PlaneKernel.Split(chunk[..planes.Length], width, new SignMove(8 * width, moved), elements, planes);
            }

            bytes += chunk.Length - planes.Length;
            for (int p = 0; p < width && elements > 0; p++)
            {
                bytes += GroupBytes + HuffmanGroup(planes.Slice(p * elements, elements));
            }
        }

        ArrayPool<byte>.Shared.Return(scratch);
        return bytes;
    }

    private static long HuffmanGroup(ReadOnlySpan<byte> plane)
    {
        Span<uint> counts = stackalloc uint[HuffmanCode.Symbols];
        counts.Clear();
        ByteHistogram.Add(plane, counts);
        if (counts.LastIndexOfAnyExcept(0u) == counts.IndexOfAnyExcept(0u))
        {
            return 1;
        }

        Span<byte> lengths = stackalloc byte[HuffmanCode.Symbols];
        long coded = ((HuffmanCode.BuildLengths(counts, lengths) + 7) / 8) + JumpTableBytes + TableBytes;
        return coded < plane.Length * 0.95 ? coded : plane.Length;
    }
}
