namespace ModelPack.Pack;

/// <content>Reading many bytes at once, on several threads, straight to where they are wanted.</content>
public sealed unsafe partial class PackReader
{
    /// <summary>Decodes a whole stream into <paramref name="destination"/>, chunks in parallel.</summary>
    /// <param name="stream">A stream of this reader.</param>
    /// <param name="destination">Room for exactly <see cref="PackStream.LengthBytes"/> bytes.</param>
    /// <param name="threads">Threads to use.</param>
    /// <param name="cancellation">Stops between chunks.</param>
    /// <exception cref="ModelPackException">MP1309 a damaged chunk, MP1310 an unknown codec.</exception>
    public void ReadStream(PackStream stream, Span<byte> destination, int threads = 1, CancellationToken cancellation = default)
    {
        fixed (byte* start = destination)
        {
            ReadStream(stream, (nint)start, destination.Length, threads, cancellation);
        }
    }

    /// <summary>As <see cref="ReadStream(PackStream, Span{byte}, int, CancellationToken)"/>, into native memory; streams may exceed 2 GiB.</summary>
    /// <exception cref="ArgumentException">The length is not that of the stream.</exception>
    /// <exception cref="ModelPackException">MP1309 a damaged chunk, MP1310 an unknown codec.</exception>
    public void ReadStream(PackStream stream, nint destination, long destinationBytes, int threads = 1, CancellationToken cancellation = default)
    {
        CheckLength(stream.LengthBytes, destinationBytes);
        ReadChunks(stream, 0, stream.ChunkCount, destination, threads, cancellation);
    }

    /// <summary>Decodes some chunks of a stream, in parallel.</summary>
    /// <param name="stream">A stream of this reader.</param>
    /// <param name="firstChunk">The first of them.</param>
    /// <param name="chunks">Their number.</param>
    /// <param name="destination">Room for their bytes: <see cref="PackStream.ChunkBytes"/> each, fewer for the last of the stream.</param>
    /// <param name="threads">Threads to use.</param>
    /// <param name="cancellation">Stops between chunks.</param>
    /// <exception cref="ModelPackException">MP1309 a damaged chunk, MP1310 an unknown codec.</exception>
    public void ReadChunks(PackStream stream, long firstChunk, long chunks, nint destination, int threads = 1, CancellationToken cancellation = default) =>
        ParallelTiles.Run(
            chunks,
            threads,
            chunk => DecodeChunk(stream, firstChunk + chunk, new Span<byte>((byte*)destination + (chunk * stream.ChunkBytes), stream.RawLength(firstChunk + chunk))),
            cancellation);

    /// <summary>
    /// Decodes a tensor to dense values of <paramref name="target"/>, row-major, row tiles in parallel: coded chunks, number format, conversion and a transposition
    /// in one go. A tensor stored plainly in <paramref name="target"/> keeps its exact bits.
    /// </summary>
    /// <param name="tensor">A tensor of this reader.</param>
    /// <param name="target">Element type wanted.</param>
    /// <param name="destination">Start of exactly as many bytes as a dense tensor of <paramref name="target"/> has.</param>
    /// <param name="destinationBytes">Their number.</param>
    /// <param name="threads">Threads to use.</param>
    /// <param name="cancellation">Stops between tiles.</param>
    /// <exception cref="ArgumentException">The length is wrong.</exception>
    /// <exception cref="ModelPackException">MP1309 a damaged chunk, MP1310 an unknown codec, MP1020 no dense form in that type.</exception>
    public void DecodeDense(PackTensor tensor, DType target, nint destination, long destinationBytes, int threads = 1, CancellationToken cancellation = default)
    {
        RawEncodings.CheckLength(target, tensor.Shape, target.HasFixedWidth() ? destinationBytes : 0);

        // The same elements in the same order: the component can be decoded in their place.
        while (tensor.Encoding is StructuredEncoding { Structure.Id: "reshaped", Components: [WeightEncoding component] })
        {
            tensor = tensor with { Encoding = component, Shape = component.Shape };
        }

        if (RawEncodings.TryGet(tensor.Encoding, out DType stored, out TensorData plain) && stored == target && ReferenceEquals(plain, tensor.Streams[0].Stream.Data))
        {
            ReadStream(tensor.Streams[0].Stream, destination, destinationBytes, threads, cancellation);
        }
        else if (destinationBytes > 0 && TransposedDecoder.TryCreate(tensor, target, out TransposedDecoder? transposed))
        {
            transposed.Run((byte*)destination, threads, cancellation);
        }
        else if (destinationBytes > 0 && tensor.Encoding is DenseEncoding encoding && encoding.Shape.Columns * (Int128)target.BitsPerElement() % 8 == 0)
        {
            var tiles = new TileDecoder(encoding, tensor.Streams[0].Stream.ChunkBytes, target);
            long rowBytes = target.StorageBytes(encoding.Shape.Columns);
            long rows = encoding.Shape.Rows;
            ParallelTiles.Run(
                ((rows - 1) / tiles.TileRows) + 1,
                threads,
                t =>
                {
                    long first = t * tiles.TileRows;
                    int count = (int)Math.Min(tiles.TileRows, rows - first);
                    tiles.Decode(first, count, new Span<byte>((byte*)destination + (first * rowBytes), checked((int)(count * rowBytes))));
                },
                cancellation);
        }
        else if (destinationBytes > 0)
        {
            TensorData dense = DenseTensorData.Of(target, tensor.Encoding);
            const long tile = 1 << 20;
            long count = ((destinationBytes - 1) / tile) + 1;
            ParallelTiles.Run(
                count,
                threads,
                t => dense.Read(t * tile, new Span<byte>((byte*)destination + (t * tile), (int)Math.Min(tile, destinationBytes - (t * tile)))),
                cancellation);
        }
    }

    private static void CheckLength(long need, long given)
    {
        if (need != given)
        {
            throw new ArgumentException($"{need} bytes are needed, not {given}");
        }
    }
}
