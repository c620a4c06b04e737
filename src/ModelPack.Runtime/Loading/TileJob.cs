using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>Brings a stored matrix into the execution layout of the kernels: its streams are decoded, packed into tiles, and forgotten.</summary>
internal static class TileJob
{
    /// <summary>Tiles that are packed as one piece of work.</summary>
    private const int TilesAtOnce = 16;

    /// <summary>What is wrong with a binding; null when it fits the stored matrix.</summary>
    public static string? WhyNot(InitializerBinding binding, IStoredWeight stored)
    {
        bool isBytes = binding.DType == DType.U8 && binding.Shape.Rank == 1;
        if (isBytes && stored.Sparse is StructuredEncoding sparse)
        {
            return sparse.Structure.Id == "blocksparse" ? SparseTileJob.WhyNot(binding, sparse) : MaskedTileJob.WhyNot(binding, sparse);
        }

        if (!isBytes || binding.Transposed || stored.Matrix is not DenseEncoding matrix)
        {
            return "bound in execution layout, which only matrices bound as bytes have";
        }

        using MatMulWeight? weight = PackedMatrix.OfLength(matrix, binding.Shape[0], out long expected);
        if (weight is null)
        {
            return expected == 0
                ? $"bound in execution layout, but no kernel reads {UnitSpec.Shorten(matrix.Format.ToString())}"
                : $"bound as {binding.Shape[0]} bytes, but the execution layout has {expected}";
        }

        IBoundNumberFormat bound = NumberFormats.Bind(matrix.Format, matrix.Shape);
        foreach (string role in weight.Roles)
        {
            long bytes = bound.Streams.First(s => s.Role == role).BytesPerRow * bound.Shape.Rows;
            if (stored.Stream(role)?.LengthBytes != bytes)
            {
                return $"its stream '{role}' does not have {bytes} bytes";
            }
        }

        return null;
    }

    /// <summary>Fills a buffer; the binding was found to fit.</summary>
    public static unsafe void Run(IStoredWeight stored, bool transposed, WeightBuffer destination, int threads)
    {
        if (stored.Sparse is StructuredEncoding sparse)
        {
            if (sparse.Structure.Id == "blocksparse")
            {
                SparseTileJob.Run(sparse, transposed, destination, threads);
            }
            else
            {
                MaskedTileJob.Run(sparse, destination, threads);
            }

            return;
        }

        using MatMulWeight weight = PackedMatrix.OfLength(stored.Matrix!, destination.LengthBytes, out _)!;
        var streams = new List<WeightBuffer>();
        try
        {
            foreach (string role in weight.Roles)
            {
                long bytes = stored.Stream(role)!.Value.LengthBytes;
                WeightBuffer buffer = ScratchBuffers.Rent(bytes);
                streams.Add(buffer);
                stored.ReadStream(role, buffer.Address, bytes, threads);
            }

            int header = PackedMatrix.HeaderBytes(weight.Format);
            PackedMatrix.WriteHeader(weight, new Span<byte>((void*)destination.Address, header));
            nint[] addresses = [.. streams.Select(s => s.Address)];
            int tiles = weight.Layout.Tiles;
            void Pack(int piece) => weight.Pack(addresses, piece * TilesAtOnce, Math.Min(TilesAtOnce, tiles - (piece * TilesAtOnce)), destination.Address + header);
            InPieces(threads, (tiles + TilesAtOnce - 1) / TilesAtOnce, Pack);
        }
        finally
        {
            streams.ForEach(ScratchBuffers.Return);
        }
    }

    /// <summary>Does pieces of work, on other threads only where there may be any.</summary>
    internal static void InPieces(int threads, int pieces, Action<int> work)
    {
        if (threads == 1)
        {
            for (int i = 0; i < pieces; i++)
            {
                work(i);
            }

            return;
        }

        Parallel.For(0, pieces, new ParallelOptions { MaxDegreeOfParallelism = threads }, work);
    }
}
