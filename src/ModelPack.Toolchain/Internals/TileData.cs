using ModelPack.Runtime.Loading;
using ModelPack.Runtime.Native;

namespace ModelPack.Toolchain;

/// <summary>A stored matrix as the kernels read it, made when it is first read and forgotten once its last byte was: a model is written tensor by tensor.</summary>
/// <param name="stored">The matrix.</param>
/// <param name="binding">In which layout; of bytes.</param>
internal sealed class TileData(IStoredWeight stored, InitializerBinding binding) : TensorData(binding.Shape[0])
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
                    new LoadJob(stored, binding.Role, binding.DType, binding.DType, tiles, binding.Transposed ? 1 : 0).Run(Environment.ProcessorCount);
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
