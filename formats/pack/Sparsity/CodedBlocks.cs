using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <summary>
/// Block-sparse forms of matrices that are coded already: the codes and scales of the blocks that hold something, moved as they are. That is possible where a format codes groups of neighbours in a row by themselves, in as many
/// bytes each, and a block is made of whole groups; what comes out is compared with what went in, value by value.
/// </summary>
internal static class CodedBlocks
{
    private const int ValuesAtOnce = 1 << 18;

    /// <summary>The sparse form; null where the matrix has none that leaves out an eighth.</summary>
    public static StructuredEncoding? Find(DenseEncoding coded, Shape matrix, CancellationToken cancellation)
    {
        if (coded.Streams.IsEmpty || coded.Shape.Rank != 2)
        {
            return null;
        }

        IBoundNumberFormat bound = NumberFormats.Bind(coded.Format, matrix);
        if (bound.Shape != matrix || !int.TryParse(bound.Spec.Text("block", Fixed(bound.Spec.Id)), NumberStyles.None, CultureInfo.InvariantCulture, out int group) || group <= 0 || matrix[1] % group != 0
            || bound.Streams.Any(s => s.BytesPerRow % (matrix[1] / group) != 0) || coded.Streams.Length != bound.Streams.Count)
        {
            return null;
        }

        TensorData values = DenseTensorData.Of(DType.F32, coded);
        if (!SparsityDetector.HasZeros(values, sizeof(float)))
        {
            return null;
        }

        var scan = SparsityScan.Of(values, matrix[0], matrix[1], sizeof(float), cancellation);
        (int Rows, int Columns, long Count)[] blocks = [.. scan.Blocks.Where(b => b.Count > 0 && b.Columns % group == 0 && matrix[0] % b.Rows == 0 && matrix[1] % b.Columns == 0)];
        if (blocks.Length == 0)
        {
            return null;
        }

        long Bits((int Rows, int Columns, long Count) b) => (long)(b.Count * b.Rows * b.Columns * bound.BitsPerValue) + SparsityChoice.Entropy(b.Count, matrix.ElementCount / (b.Rows * b.Columns));
        (int height, int width, long stored) = blocks.MinBy(Bits);
        if (stored * height * width > matrix.ElementCount - (matrix.ElementCount / 8))
        {
            return null;
        }

        StructuredEncoding sparse = SparseMatrix.Of(SparseMatrix.Blocks(height, width), DType.F32, matrix, values);
        int[] places = Places(sparse.Components[0], matrix[1] / width);
        var moved = new DenseEncoding(
            coded.Format,
            sparse.Components[1].Shape,
            [.. coded.Streams.Select((s, i) => new EncodedStream(s.Role, new MovedGroups(s.Data, bound.Streams[i].BytesPerRow, (int)(bound.Streams[i].BytesPerRow / (matrix[1] / group)) * (width / group), places, (int)(matrix[1] / width), height)))]);
        return Equal(sparse.Components[1], moved, cancellation) ? sparse with { Components = [sparse.Components[0], moved] } : null;
    }

    /// <summary>The group of formats that have one and no other.</summary>
    private static string Fixed(string format) => format.StartsWith("mx", StringComparison.Ordinal) ? "32" : format == "nvfp4" ? "16" : "";

    /// <summary>Numbers of the stored blocks among all, in order.</summary>
    private static int[] Places(WeightEncoding mask, long columns)
    {
        TensorData data = ((DenseEncoding)mask).Streams[0].Data;
        byte[] bits = data.ToArray(int.MaxValue);
        int rowBytes = (int)((columns + 7) / 8);
        var places = new List<int>();
        for (int r = 0; r < bits.Length / rowBytes; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                if (((bits[(r * rowBytes) + (c / 8)] >> (c % 8)) & 1) != 0)
                {
                    places.Add(checked((int)((r * columns) + c)));
                }
            }
        }

        return [.. places];
    }

    private static bool Equal(WeightEncoding expected, WeightEncoding actual, CancellationToken cancellation)
    {
        IValueReader one = EncodingValues.Open(expected);
        IValueReader two = EncodingValues.Open(actual);
        int rows = (int)Math.Clamp(ValuesAtOnce / expected.Shape.Columns, 1, Math.Max(1, expected.Shape.Rows));
        float[] a = new float[checked(rows * (int)expected.Shape.Columns)];
        float[] b = new float[a.Length];
        for (long first = 0; first < expected.Shape.Rows; first += rows)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(rows, expected.Shape.Rows - first);
            int length = count * (int)expected.Shape.Columns;
            one.ReadRows(first, count, a.AsSpan(0, length));
            two.ReadRows(first, count, b.AsSpan(0, length));
            if (!MemoryMarshal.AsBytes(a.AsSpan(0, length)).SequenceEqual(MemoryMarshal.AsBytes(b.AsSpan(0, length))))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>A stream of a matrix with only the bytes of some blocks, block by block, row by row.</summary>
    /// <param name="source">The stream of all.</param>
    /// <param name="rowBytes">Bytes of a row of the matrix.</param>
    /// <param name="runBytes">Bytes of a row of a block.</param>
    /// <param name="places">Numbers of the blocks.</param>
    /// <param name="blockColumns">Blocks beside each other.</param>
    /// <param name="blockRows">Rows of a block.</param>
    private sealed class MovedGroups(TensorData source, long rowBytes, int runBytes, int[] places, int blockColumns, int blockRows) : TensorData((long)places.Length * blockRows * runBytes)
    {
        protected override void ReadCore(long offsetBytes, Span<byte> destination)
        {
            while (!destination.IsEmpty)
            {
                long run = offsetBytes / runBytes;
                int within = (int)(offsetBytes % runBytes);
                int place = places[run / blockRows];
                long row = ((long)(place / blockColumns) * blockRows) + (run % blockRows);
                int count = Math.Min(destination.Length, runBytes - within);
                source.Read((row * rowBytes) + ((long)(place % blockColumns) * runBytes) + within, destination[..count]);
                destination = destination[count..];
                offsetBytes += count;
            }
        }
    }
}
