using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Kernels.MatMul;

/// <summary>Rows of codes to tiles, see <see cref="TileLayout"/>.</summary>
internal static unsafe class TilePacker
{
    /// <summary>Packs one tile.</summary>
    /// <param name="source">The rows.</param>
    /// <param name="layout">Their layout.</param>
    /// <param name="streams">Addresses of the streams.</param>
    /// <param name="index">Which tile.</param>
    /// <param name="tile">Destination, <see cref="TileLayout.TileBytes"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(CodeRows source, in TileLayout layout, ReadOnlySpan<nint> streams, int index, byte* tile)
    {
        new Span<byte>(tile, checked((int)layout.TileBytes)).Clear();

        // Narrow codes are brought to a byte each first; wider values lie as they are read.
        int width = Math.Max(1, layout.Bits / 8);
        int rowBytes = layout.PaddedColumns * width;
        int groups = rowBytes / 4;
        byte[] rented = ArrayPool<byte>.Shared.Rent(rowBytes + (groups * TilePlanes.VectorBytes));
        float[] scales = ArrayPool<float>.Shared.Rent(layout.Blocks);
        byte[] zeros = ArrayPool<byte>.Shared.Rent(layout.Blocks);
        try
        {
            Span<byte> codes = rented.AsSpan(0, rowBytes);
            codes.Clear();
            fixed (byte* row = rented)
            {
                byte* columns = row + rowBytes;
                new Span<byte>(columns, groups * TilePlanes.VectorBytes).Clear();
                int rows = Math.Min(TileLayout.TileRows, layout.Rows - (TileLayout.TileRows * index));
                int scaleCount = layout.Scale == TileScale.None ? 0 : layout.Blocks;
                int zeroCount = layout.HasZeros ? layout.Blocks : 0;
                for (int r = 0; r < rows; r++)
                {
                    source.Read(streams, ((long)TileLayout.TileRows * index) + r, codes[..(layout.Columns * width)], scales.AsSpan(0, scaleCount), zeros.AsSpan(0, zeroCount));
                    if (layout.Paired)
                    {
                        byte* to = columns + (16 * (r / 4)) + (2 * (r % 4));
                        for (int g = 0; g < groups; g++, to += TilePlanes.VectorBytes)
                        {
                            *(ushort*)to = *(ushort*)(row + (4 * g));
                            *(ushort*)(to + 8) = *(ushort*)(row + (4 * g) + 2);
                        }
                    }
                    else
                    {
                        for (int g = 0; g < groups; g++)
                        {
                            *(uint*)(columns + ((long)TilePlanes.VectorBytes * g) + (4 * r)) = *(uint*)(row + (4 * g));
                        }
                    }

                    for (int b = 0; b < scaleCount; b++)
                    {
                        StoreScale(tile, layout.Scale, (TileLayout.TileRows * b) + r, scales[b]);
                    }

                    for (int b = 0; b < zeroCount; b++)
                    {
                        tile[layout.ZerosOffset + (TileLayout.TileRows * (long)b) + r] = zeros[b];
                    }
                }

                if (layout.Bits >= 8)
                {
                    new ReadOnlySpan<byte>(columns, groups * TilePlanes.VectorBytes).CopyTo(new Span<byte>(tile + layout.CodesOffset, groups * TilePlanes.VectorBytes));
                    return;
                }

                for (int unit = 0; unit < layout.Units; unit++)
                {
                    Join(columns + ((long)unit * layout.UnitColumns / 4 * TilePlanes.VectorBytes), layout, tile + layout.CodesOffset + ((long)unit * layout.UnitBytes));
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
            ArrayPool<float>.Shared.Return(scales);
            ArrayPool<byte>.Shared.Return(zeros);
        }
    }

    private static void StoreScale(byte* tile, TileScale type, int index, float scale)
    {
        uint bits = BitConverter.SingleToUInt32Bits(scale);
        switch (type)
        {
            case TileScale.F32:
                ((uint*)tile)[index] = bits;
                break;
            case TileScale.BF16:
                ((ushort*)tile)[index] = (ushort)(bits >> 16);
                break;
            case TileScale.F16:
                ((Half*)tile)[index] = (Half)scale;
                break;
            default:
                tile[index] = (byte)(bits >> 23);
                break;
        }
    }

    /// <summary>Groups with a code per byte to the planes of a unit.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Join(byte* groups, in TileLayout layout, byte* unit)
    {
        int shift = 0;
        for (int width = 8; width >= 1; width /= 2)
        {
            if ((layout.Bits & width) == 0)
            {
                continue;
            }

            // A vector of the plane holds this many groups, the first in the lowest bits of each byte.
            int each = 8 / width;
            for (int first = 0; first < layout.UnitColumns / 4; first += each)
            {
                for (int at = 0; at < TilePlanes.VectorBytes; at += Vector128<byte>.Count)
                {
                    Vector128<byte> joined = Vector128<byte>.Zero;
                    for (int i = 0; i < each; i++)
                    {
                        Vector128<byte> codes = Vector128.Load(groups + (TilePlanes.VectorBytes * (first + i)) + at);
                        joined |= ((codes >>> shift) & Vector128.Create((byte)((1 << width) - 1))) << (width * i);
                    }

                    joined.Store(unit + at);
                }

                unit += TilePlanes.VectorBytes;
            }

            shift += width;
        }
    }
}
