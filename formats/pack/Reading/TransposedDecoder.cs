using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <summary>
/// Decodes <c>permuted(perm=1x0)</c> over one dense component: every tile of component rows is decoded once and scattered to its columns of the result.
/// </summary>
internal sealed unsafe class TransposedDecoder
{
    private const int BlockRows = 32;

    private readonly TileDecoder _component;
    private readonly long _rows;
    private readonly int _columns;
    private readonly int _width;

    private TransposedDecoder(TileDecoder component, Shape shape, int width)
    {
        _component = component;
        _rows = shape[0];
        _columns = (int)shape[1];
        _width = width;
    }

    /// <summary>False for trees of another kind and for element types without whole bytes.</summary>
    public static bool TryCreate(PackTensor tensor, DType target, [NotNullWhen(true)] out TransposedDecoder? decoder)
    {
        decoder = null;
        if (tensor.Encoding is not StructuredEncoding { Structure.Id: Permuted.Id, Components: [DenseEncoding { Shape.Rank: 2 } component] } permuted
            || Permuted.ParsePerm(permuted.Structure) is not [1, 0]
            || target.BitsPerElement() is not (8 or 16 or 32 or 64)
            || component.Shape.Columns > 1 << 28)
        {
            return false;
        }

        decoder = new TransposedDecoder(new TileDecoder(component, tensor.Streams[0].Stream.ChunkBytes, target), component.Shape, target.BitsPerElement() / 8);
        return true;
    }

    public void Run(byte* destination, int threads, CancellationToken cancellation) =>
        ParallelTiles.Run(((_rows - 1) / _component.TileRows) + 1, threads, tile => RunTile(destination, tile), cancellation);

    private void RunTile(byte* destination, long tile)
    {
        long first = tile * _component.TileRows;
        int rows = (int)Math.Min(_component.TileRows, _rows - first);
        int length = checked(rows * _columns * _width);
        byte[] bytes = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            Span<byte> source = bytes.AsSpan(0, length);
            _component.Decode(first, rows, source);
            switch (_width)
            {
                case 1:
                    Scatter(source, rows, (byte*)destination + first);
                    break;
                case 2:
                    Scatter(MemoryMarshal.Cast<byte, ushort>(source), rows, (ushort*)destination + first);
                    break;
                case 4:
                    Scatter(MemoryMarshal.Cast<byte, uint>(source), rows, (uint*)destination + first);
                    break;
                default:
                    Scatter(MemoryMarshal.Cast<byte, ulong>(source), rows, (ulong*)destination + first);
                    break;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>
    /// Element (r, c) of the tile [rows, columns] goes to c x (rows of the component) + r of <paramref name="destination"/>. Blocks of 32 rows: their 32 source lines stay in
    /// the cache while the columns are walked, and each column writes a run of 32 elements.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Scatter<T>(ReadOnlySpan<T> source, int rows, T* destination)
        where T : unmanaged
    {
        fixed (T* from = source)
        {
            for (int r0 = 0; r0 < rows; r0 += BlockRows)
            {
                int r1 = Math.Min(rows, r0 + BlockRows);
                for (int c = 0; c < _columns; c++)
                {
                    T* to = destination + (c * _rows);
                    for (int r = r0; r < r1; r++)
                    {
                        to[r] = from[((long)r * _columns) + c];
                    }
                }
            }
        }
    }
}
