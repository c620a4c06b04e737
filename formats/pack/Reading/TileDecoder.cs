using System.Buffers;
using ModelPack.Numbers;

namespace ModelPack.Pack;

/// <summary>Decodes row tiles of a dense encoding to dense bytes: the chunks of a tile are decoded once, straight into a buffer, and converted from there.</summary>
internal sealed class TileDecoder
{
    private const int ValuesPerTile = 256 << 10;

    private readonly DenseEncoding _encoding;
    private readonly DType _target;
    private readonly IBoundNumberFormat? _format;
    private readonly long _group = 1;
    private readonly TensorData? _dense;

    /// <param name="encoding">Encoding of an artifact's tensor or component.</param>
    /// <param name="chunkBytes">Chunk size of its first stream.</param>
    /// <param name="target">Element type wanted; its rows must be whole bytes.</param>
    public TileDecoder(DenseEncoding encoding, int chunkBytes, DType target)
    {
        _encoding = encoding;
        _target = target;
        TileRows = Math.Clamp(ValuesPerTile / Math.Max(1, encoding.Shape.Columns), 1, Math.Max(1, encoding.Shape.Rows));
        if (DTypes.TryParse(encoding.Format.Id, out _))
        {
            _dense = DenseTensorData.Of(target, encoding);
            return;
        }

        _format = NumberFormats.Bind(encoding.Format, encoding.Shape);
        long perRow = _format.Streams[0].BytesPerRow;
        _group = RegroupedValueReader.RowsPerRow(_format.Shape, encoding.Shape);
        TileRows = perRow > 0 ? Math.Max(1, chunkBytes / perRow) * _group : (TileRows + _group - 1) / _group * _group;
    }

    /// <summary>Rows of a tile: those of a chunk, where chunks hold rows. Whole coded rows, where those hold several rows of the tensor.</summary>
    public long TileRows { get; }

    /// <summary>Decodes whole rows from the start of a tile on, at most a tile; fastest for a whole tile.</summary>
    public void Decode(long firstRow, int rows, Span<byte> destination)
    {
        if (_format is null)
        {
            _dense!.Read(firstRow * _target.StorageBytes(_encoding.Shape.Columns), destination);
            return;
        }

        int count = _encoding.Streams.Length;
        byte[][] rented = new byte[count][];
        var streams = new EncodedStream[count];
        try
        {
            for (int s = 0; s < count; s++)
            {
                long perRow = _format.Streams[s].BytesPerRow;
                int length = checked((int)(rows / _group * perRow));
                rented[s] = ArrayPool<byte>.Shared.Rent(length);
                _encoding.Streams[s].Data.Read(firstRow / _group * perRow, rented[s].AsSpan(0, length));
                streams[s] = new EncodedStream(_encoding.Streams[s].Role, TensorData.FromBytes(rented[s].AsMemory(0, length)));
            }

            var tile = new DenseEncoding(_encoding.Format, new Shape(rows, _encoding.Shape.Columns), [.. streams]);
            DenseTensorData.Of(_target, tile).Read(0, destination);
        }
        finally
        {
            foreach (byte[]? bytes in rented)
            {
                if (bytes is not null)
                {
                    ArrayPool<byte>.Shared.Return(bytes);
                }
            }
        }
    }
}
