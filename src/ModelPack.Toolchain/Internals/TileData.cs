using ModelPack.Runtime.Loading;
using ModelPack.Runtime.Native;

namespace ModelPack.Toolchain;

/// <summary>A stored matrix in the execution layout of the kernels, made when it is first read and forgotten once its last byte was: a model is written tensor by tensor.</summary>
/// <param name="stored">The matrix.</param>
/// <param name="lengthBytes">Length of its execution layout.</param>
/// <param name="transposed">True for the layout of its transpose.</param>
internal sealed class TileData(IStoredWeight stored, long lengthBytes, bool transposed) : TensorData(lengthBytes)
{
    private readonly Lock _gate = new();
    private WeightBuffer? _tiles;

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        lock (_gate)
        {
            if (_tiles is null)
            {
                var tiles = new WeightBuffer(LengthBytes);
                try
                {
                    TileJob.Run(stored, transposed, tiles, Environment.ProcessorCount);
                }
                catch
                {
                    tiles.Dispose();
                    throw;
                }

                _tiles = tiles;
            }

            _tiles.Slice(offsetBytes, destination.Length).CopyTo(destination);
            if (offsetBytes + destination.Length == LengthBytes)
            {
                _tiles.Dispose();
                _tiles = null;
            }
        }
    }
}
