using System.Buffers;
using ModelPack.Codecs;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <summary>
/// Finds dense tensors that are sparse matrices and stores them as such: a look at a few samples, one exact pass over tensors that have zeros in them, the structure with the cheapest
/// index, and at the end a comparison of what samples take with the codecs that would be chosen. What is stored gives the same bytes back.
/// </summary>
public static class SparsityDetector
{
    /// <summary>Smaller tensors are not worth a second stream.</summary>
    private const int MinElements = 4096;

    private const long MaxColumns = 1 << 26;
    private const int Probes = 16;
    private const int ProbeBytes = 4096;
    private const int SamplePieces = 16;
    private const int SampleBytes = 64 << 10;

    /// <summary>A tensor as a sparse matrix, or null when it is not one, or not smaller that way.</summary>
    /// <param name="encoding">
    /// What to look at: values stored plainly, to be encoded in a number format, or encoded already. Permutations and reshapes around them are looked through.
    /// </param>
    /// <param name="level">How hard the codecs will try; estimates are made at the default level at most.</param>
    /// <param name="portable">Without the codecs that are fast with AVX-512 alone.</param>
    /// <param name="cancellation">Checked between pieces of large tensors.</param>
    public static WeightEncoding? Find(WeightEncoding encoding, CodecLevel level = CodecLevel.Default, bool portable = false, CancellationToken cancellation = default)
    {
        switch (encoding)
        {
            case StructuredEncoding { Components: [WeightEncoding only] } outer when outer.Structure.Id != Delta.Id && !SparseMatrix.IsSparse(outer):
                return Find(only, level, portable, cancellation) is WeightEncoding found ? outer with { Components = [found] } : null;
            case DenseEncoding { Source: WeightEncoding source } pending:
                return FindPending(pending, source, cancellation);
            case DenseEncoding dense when RawEncodings.TryGet(dense, out DType dtype, out TensorData data):
                return Matrix(dense.Shape) is not Shape matrix || Structure(dtype, matrix, data, fixedStride: false, cancellation) is not (UnitSpec structure, double density)
                    ? null
                    : Smaller(dtype, data, Reshape(SparseMatrix.Of(structure, dtype, matrix, data), dense.Shape), new CodecPolicy(level < CodecLevel.Default ? level : CodecLevel.Default, portable), density);
            case DenseEncoding coded when Matrix(coded.Shape) is Shape rows:
                return CodedBlocks.Find(coded, rows, cancellation);
            default:
                return null;
        }
    }

    /// <summary>Values that will be encoded: only those that are stored are.</summary>
    private static StructuredEncoding? FindPending(DenseEncoding pending, WeightEncoding source, CancellationToken cancellation)
    {
        if (Matrix(pending.Shape) is not Shape matrix || Leaf(source) is not DType dtype || !FitsStoredValues(pending.Format))
        {
            return null;
        }

        TensorData data = DenseTensorData.Of(dtype, source);
        if (Structure(dtype, matrix, data, fixedStride: true, cancellation) is not (UnitSpec structure, _))
        {
            return null;
        }

        StructuredEncoding sparse = SparseMatrix.Of(structure, dtype, matrix, data);
        return Reshape(sparse with { Components = [sparse.Components[0], DenseEncoding.Pending(pending.Format, sparse.Components[1])] }, pending.Shape);
    }

    /// <summary>
    /// Whether a format makes of stored values alone what it would make of all: not where a mean or a palette of the whole tensor counts zeros, nor tiles of neighbouring rows.
    /// </summary>
    private static bool FitsStoredValues(UnitSpec format) =>
        !(format.Id is "palette" or "ternary" || format.Id.StartsWith("bitnet-", StringComparison.Ordinal) || format.Text("scope", "") == "tile");

    /// <summary>The matrix that structures are looked for in: the first axis and all others, as layers multiply with it; null for what is none.</summary>
    private static Shape? Matrix(Shape shape) => shape.Rank >= 2 && shape.TryElementCount(out long count) && count >= MinElements && count / shape[0] <= MaxColumns
        ? new Shape(shape[0], count / shape[0])
        : null;

    private static StructuredEncoding Reshape(StructuredEncoding matrix, Shape shape) =>
        matrix.Shape == shape ? matrix : new StructuredEncoding(new UnitSpec("reshaped"), shape, [matrix]);

    /// <summary>The element type of plain values under permutations and reshapes.</summary>
    private static DType? Leaf(WeightEncoding encoding)
    {
        while (encoding is StructuredEncoding { Components: [WeightEncoding only] })
        {
            encoding = only;
        }

        return RawEncodings.TryGet(encoding, out DType dtype, out _) ? dtype : null;
    }

    /// <summary>The structure to use and the share of elements that are not zero; null for dense matrices.</summary>
    private static (UnitSpec Structure, double Density)? Structure(DType dtype, Shape matrix, TensorData data, bool fixedStride, CancellationToken cancellation)
    {
        int width = dtype.BitsPerElement() / 8;
        bool known = dtype is DType.BF16 or DType.F16 or DType.F32 or DType.I8 or DType.U8 || (dtype.IsFloat() && dtype.BitsPerElement() == 8);
        if (!known || data.LengthBytes != matrix.ElementCount * width || !HasZeros(data, width))
        {
            return null;
        }

        var scan = SparsityScan.Of(data, matrix[0], matrix[1], width, cancellation);
        return SparsityChoice.Best(scan, width, fixedStride) is UnitSpec structure ? (structure, (double)scan.NonZero / matrix.ElementCount) : null;
    }

    /// <summary>Whether an eighth of the elements of samples is zero: dense tensors cost a few microseconds.</summary>
    internal static bool HasZeros(TensorData data, int width)
    {
        // Odd steps, so that samples do not fall on the same columns.
        Span<byte> mask = stackalloc byte[ProbeBytes / 8];
        byte[] room = ArrayPool<byte>.Shared.Rent(ProbeBytes);
        int length = (int)Math.Min(ProbeBytes, data.LengthBytes);
        long elements = data.LengthBytes / width;
        long sampled = 0;
        long zeros = 0;
        for (int i = 0; i < Probes; i++)
        {
            long at = Math.Min(elements * ((2 * i) + 1) / (2 * Probes), elements - (length / width)) * width;
            Span<byte> piece = room.AsSpan(0, length);
            data.Read(at, piece);
            int count = length / width;
            SparsityScan.NonZeroBits(piece, width, mask[..((count + 7) / 8)]);
            sampled += count;
            zeros += count - SparseMatrix.PopCount(mask[..((count + 7) / 8)]);
        }

        ArrayPool<byte>.Shared.Return(room);
        return zeros * 8 >= sampled;
    }

    /// <summary>The sparse form, if samples say that its streams take less than the dense one.</summary>
    private static StructuredEncoding? Smaller(DType dtype, TensorData dense, StructuredEncoding found, CodecPolicy policy, double density)
    {
        StructuredEncoding sparse = found.Components is [StructuredEncoding only] ? only : found;
        double stored = 0;
        foreach (WeightEncoding component in sparse.Components)
        {
            if (RawEncodings.TryGet(component, out DType type, out TensorData data))
            {
                stored += Estimate(policy, type, data, null);
            }
        }

        // By one in 256: estimates are not exact, and the tree is one more thing to read.
        return stored * 256 < Estimate(policy, dtype, dense, density) * 255 ? found : null;
    }

    /// <summary>Stored bytes of a stream, from a sample of at most a mebibyte.</summary>
    /// <param name="policy">Codecs to choose from.</param>
    /// <param name="type">What the bytes are.</param>
    /// <param name="data">The stream.</param>
    /// <param name="density">Share of elements that are not zero in all of the stream, to which that of the sample is corrected; null where the sample stands for all.</param>
    private static double Estimate(CodecPolicy policy, DType type, TensorData data, double? density)
    {
        if (data.LengthBytes == 0)
        {
            return 0;
        }

        byte[] sample = Sample(data);
        ICodec? codec = CodecChooser.Choose(policy, type, data.LengthBytes, [sample]);
        int bytes = codec is not null && codec.TryEncode(sample, type, new byte[sample.Length], out int written) ? written : sample.Length;
        double estimate = (double)bytes * data.LengthBytes / sample.Length;
        if (density is double all && sample.Length < data.LengthBytes)
        {
            int width = type.BitsPerElement() / 8;
            byte[] mask = new byte[((sample.Length / width) + 7) / 8];
            SparsityScan.NonZeroBits(sample, width, mask);
            estimate *= all * (sample.Length / width) / Math.Max(1, SparseMatrix.PopCount(mask));
        }

        return estimate;
    }

    private static byte[] Sample(TensorData data)
    {
        if (data.LengthBytes <= SamplePieces * SampleBytes)
        {
            return data.ToArray(SamplePieces * SampleBytes);
        }

        byte[] sample = new byte[SamplePieces * SampleBytes];
        for (int i = 0; i < SamplePieces; i++)
        {
            data.Read((data.LengthBytes - SampleBytes) / (SamplePieces - 1) * i / 64 * 64, sample.AsSpan(i * SampleBytes, SampleBytes));
        }

        return sample;
    }
}
