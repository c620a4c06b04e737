namespace ModelPack.Pack;

/// <content>Reading some rows of a tensor: only the chunks that hold them are read.</content>
public sealed unsafe partial class PackReader
{
    /// <summary>Bytes that one step of a row read gives at most, for tensors that are not stored plainly.</summary>
    private const int RowTileBytes = 1 << 20;

    /// <summary>
    /// Reads rows [<paramref name="firstRow"/>, <paramref name="firstRow"/> + <paramref name="rows"/>) of the first axis as dense values of <paramref name="target"/>, row-major, straight into
    /// <paramref name="destination"/>. Only chunks that hold some of these rows are read, each verified. A tensor stored plainly in <paramref name="target"/> keeps its exact bits, and reading it on one
    /// thread allocates nothing once its chunks have been seen; other encodings cost a few small objects per call.
    /// </summary>
    /// <param name="tensor">A tensor of this reader.</param>
    /// <param name="target">Element type wanted.</param>
    /// <param name="firstRow">First row, from 0.</param>
    /// <param name="rows">Number of rows; 0 reads nothing.</param>
    /// <param name="destination">Room for exactly the bytes of these rows: <see cref="RowRange.Of"/> tells them.</param>
    /// <param name="threads">Threads to use.</param>
    /// <param name="cancellation">Stops between chunks.</param>
    /// <exception cref="ArgumentException"><paramref name="destination"/> has another length, or the tensor is another reader's.</exception>
    /// <exception cref="ModelPackException">MP4109 no such rows, MP1309 a damaged chunk, MP1310 an unknown codec, MP1020 no dense form in that type.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public void ReadRows(
        PackTensor tensor, DType target, long firstRow, long rows, Span<byte> destination, int threads = 1, CancellationToken cancellation = default)
    {
        CheckIsOwn(tensor);
        (long begin, long length) = RowRange.Bytes(target, tensor.Shape, firstRow, rows);
        CheckLength(length, destination.Length);
        if (destination.IsEmpty)
        {
            return;
        }

        (TensorData data, int step) = Dense(tensor, target);
        long end = begin + length;
        long firstStep = begin / step;
        long steps = ((end - 1) / step) - firstStep + 1;
        if (threads <= 1 || steps == 1)
        {
            // No closure: this path may be taken for every token of a generation.
            for (long i = 0; i < steps; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                (long at, int n) = Part(begin, end, (firstStep + i) * step, step);
                data.Read(at, destination.Slice((int)(at - begin), n));
            }

            return;
        }

        ReadParts(data, begin, end, step, destination, threads, cancellation);
    }

    /// <summary>
    /// The dense values of a tensor, or of rows of it, to be read from front to back in whatever pieces: what comes next is decoded ahead on several threads, a few megabytes at a time, and nothing outside of the rows.
    /// </summary>
    /// <param name="tensor">A tensor of this reader.</param>
    /// <param name="target">Element type wanted. A tensor stored plainly in it keeps its exact bits.</param>
    /// <param name="range">Rows of the first axis; null for the whole tensor.</param>
    /// <param name="threads">Threads to use; with 1 nothing is decoded ahead.</param>
    /// <param name="cancellation">Stops the decoding ahead.</param>
    /// <exception cref="ArgumentException">The tensor is another reader's.</exception>
    /// <exception cref="ModelPackException">MP1020 no dense form in that type. Reading: MP1309 a damaged chunk, MP1310 an unknown codec.</exception>
    public TensorData DenseData(PackTensor tensor, DType target, RowRange? range = null, int threads = 1, CancellationToken cancellation = default)
    {
        CheckIsOwn(tensor);
        (TensorData data, int step) = Dense(tensor, target);
        (long begin, long length) = range is RowRange rows ? (rows.OffsetBytes, rows.LengthBytes) : (0, data.LengthBytes);
        return length == 0 ? TensorData.Empty
            : threads > 1 && length > step ? new ReadAheadData(data, begin, length, step, threads, cancellation)
            : length == data.LengthBytes ? data
            : data.Slice(begin, length);
    }

    /// <exception cref="ArgumentException">The tensor is another reader's.</exception>
    private void CheckIsOwn(PackTensor tensor)
    {
        if (!ReferenceEquals(Find(tensor.Name), tensor))
        {
            throw new ArgumentException($"'{tensor.Name}' is not a tensor of this reader", nameof(tensor));
        }
    }

    /// <summary>A tensor as dense values, and in which steps it is best read: steps end where chunks end, so that whole chunks are decoded in place.</summary>
    private static (TensorData Data, int StepBytes) Dense(PackTensor tensor, DType target)
    {
        bool plain = RawEncodings.TryGet(tensor.Encoding, out DType stored, out TensorData data) && stored == target;
        return plain && tensor.Streams is [PackTensorStream only] && ReferenceEquals(only.Stream.Data, data)
            ? (data, only.Stream.ChunkBytes)
            : (plain ? data : DenseTensorData.Of(target, tensor.Encoding), RowTileBytes);
    }

    /// <summary>A method of its own, because its closure would be allocated on the way around it too.</summary>
    private static void ReadParts(TensorData data, long begin, long end, int step, Span<byte> destination, int threads, CancellationToken cancellation)
    {
        fixed (byte* start = destination)
        {
            nint address = (nint)start;
            long firstStep = begin / step;
            ParallelTiles.Run(
                ((end - 1) / step) - firstStep + 1,
                threads,
                i =>
                {
                    (long at, int n) = Part(begin, end, (firstStep + i) * step, step);
                    data.Read(at, new Span<byte>((byte*)address + (at - begin), n));
                },
                cancellation);
        }
    }

    /// <summary>The part of [begin, end) that lies in the step beginning at <paramref name="step"/>.</summary>
    private static (long OffsetBytes, int LengthBytes) Part(long begin, long end, long step, int stepBytes)
    {
        long at = Math.Max(begin, step);
        return (at, (int)(Math.Min(end, step + stepBytes) - at));
    }
}
