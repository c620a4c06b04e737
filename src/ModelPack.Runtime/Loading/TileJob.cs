using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>Brings a stored matrix into the execution layout of the kernels: its streams are decoded, packed into tiles, and forgotten.</summary>
internal static class TileJob
{
    /// <summary>Tiles that are packed as one piece of work.</summary>
    private const int TilesAtOnce = 16;

    /// <summary>Bytes of a stream of plain numbers that are decoded at a time, about: all of it would be as much memory again as the weight.</summary>
    private const long WindowBytes = 8 << 20;

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
            long bytes = BytesPerRow(bound, role) * bound.Shape.Rows;
            if (stored.Stream(role)?.LengthBytes != bytes)
            {
                return $"its stream '{role}' does not have {bytes} bytes";
            }
        }

        return null;
    }

    private static long BytesPerRow(IBoundNumberFormat format, string role)
    {
        for (int i = 0; i < format.Streams.Count; i++)
        {
            if (format.Streams[i].Role == role)
            {
                return format.Streams[i].BytesPerRow;
            }
        }

        throw new InvalidOperationException($"the format has no stream '{role}'");
    }

    /// <summary>Fills a buffer; the binding was found to fit.</summary>
    public static unsafe void Run(IStoredWeight stored, bool transposed, WeightBuffer destination, int threads, long windowBytes = WindowBytes)
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
        int header = PackedMatrix.HeaderBytes(weight.Format);
        PackedMatrix.WriteHeader(weight, new Span<byte>((void*)destination.Address, header));
        if (weight.Roles is [string values] && DTypes.TryParse(weight.Format.Id, out DType plain) && plain.HasFixedWidth() && stored.PartBytes(values) > 0
            && stored.Stream(values)!.Value.LengthBytes > 2 * windowBytes && plain.BitsPerElement() % 8 == 0)
        {
            InWindows(stored, weight, values, (long)weight.Layout.Columns * plain.BitsPerElement() / 8, destination.Address + header, threads, windowBytes);
            return;
        }

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

            nint[] addresses = new nint[streams.Count];
            for (int i = 0; i < addresses.Length; i++)
            {
                addresses[i] = streams[i].Address;
            }

            Pack(weight, addresses, 0, weight.Layout.Tiles, destination.Address + header, threads);
        }
        finally
        {
            streams.ForEach(ScratchBuffers.Return);
        }
    }

    /// <summary>The same for a stream of plain rows, some of them at a time.</summary>
    private static unsafe void InWindows(IStoredWeight stored, MatMulWeight weight, string role, long rowBytes, nint destination, int threads, long windowBytes)
    {
        long part = stored.PartBytes(role);
        long length = stored.Stream(role)!.Value.LengthBytes;
        long tileBytes = TileLayout.TileRows * rowBytes;
        int together = (int)Math.Max(1, windowBytes / (TilesAtOnce * tileBytes)) * TilesAtOnce;
        WeightBuffer window = ScratchBuffers.Rent(((together * tileBytes / part) + 2) * part);
        try
        {
            // Parts [begun, read) are in the window.
            long begun = 0;
            long read = 0;
            for (int tile = 0; tile < weight.Layout.Tiles; tile += together)
            {
                int count = Math.Min(together, weight.Layout.Tiles - tile);
                long first = tile * tileBytes / part;
                long end = (Math.Min((tile + count) * tileBytes, length) + part - 1) / part;
                if (read > first)
                {
                    // The last part, of which the tiles before had the beginning.
                    Buffer.MemoryCopy((void*)(window.Address + (nint)((first - begun) * part)), (void*)window.Address, window.LengthBytes, (read - first) * part);
                }

                read = Math.Max(read, first);
                if (end > read)
                {
                    stored.ReadParts(role, read, end - read, window.Address + (nint)((read - first) * part), threads);
                }

                (begun, read) = (first, end);
                Pack(weight, [window.Address - (nint)(begun * part)], tile, count, destination, threads);
            }
        }
        finally
        {
            ScratchBuffers.Return(window);
        }
    }

    private static void Pack(MatMulWeight weight, nint[] streams, int first, int tiles, nint destination, int threads) => InPieces(
        threads,
        (tiles + TilesAtOnce - 1) / TilesAtOnce,
        piece => weight.Pack(streams, first + (piece * TilesAtOnce), Math.Min(TilesAtOnce, tiles - (piece * TilesAtOnce)), destination));

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
