using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;
using ModelPack.Runtime.Native;
using ModelPack.Structures;

namespace ModelPack.Runtime.Loading;

/// <summary>Brings a stored block-sparse matrix into the execution layout of the kernels; blocks that are not stored are never made.</summary>
internal static unsafe class SparseTileJob
{
    /// <summary>Stripes that are packed as one piece of work.</summary>
    private const int StripesAtOnce = 8;

    private const int ReadBytes = 16 << 20;

    /// <summary>What is wrong with a binding as bytes; null when it fits the stored matrix.</summary>
    /// <exception cref="ModelPackException">MP1024: the mask is not what it must be.</exception>
    public static string? WhyNot(InitializerBinding binding, StructuredEncoding stored)
    {
        using SparseWeight? weight = Weight(stored, binding.Transposed);
        if (weight is null)
        {
            return $"bound in execution layout, but no kernel reads {UnitSpec.Shorten(stored.Describe())}";
        }

        if (PackedSparseMatrix.Bytes(weight) != binding.Shape[0])
        {
            return $"bound as {binding.Shape[0]} bytes, but the execution layout has {PackedSparseMatrix.Bytes(weight)}";
        }

        var values = (DenseEncoding)stored.Components[1];
        foreach (string role in weight.Roles)
        {
            if (values.Streams.FirstOrDefault(s => s.Role == role)?.Data.LengthBytes != Length(values, role))
            {
                return $"its stream '{role}' does not have {Length(values, role)} bytes";
            }
        }

        return null;
    }

    /// <summary>Fills a buffer; the binding was found to fit.</summary>
    /// <param name="stored">The matrix.</param>
    /// <param name="transposed">True when the layout is that of its transpose.</param>
    /// <param name="destination">The buffer.</param>
    /// <param name="threads">Threads to use.</param>
    public static void Run(StructuredEncoding stored, bool transposed, WeightBuffer destination, int threads)
    {
        using SparseWeight weight = Weight(stored, transposed)!;
        var values = (DenseEncoding)stored.Components[1];
        var streams = new List<WeightBuffer>();
        try
        {
            foreach (string role in weight.Roles)
            {
                streams.Add(Read(values.Streams.First(s => s.Role == role).Data, threads));
            }

            nint[] addresses = [.. streams.Select(s => s.Address)];
            long header = PackedSparseMatrix.TilesOffset(weight);
            PackedSparseMatrix.WriteHeader(weight, new Span<byte>((void*)destination.Address, checked((int)header)));
            TileJob.InPieces(threads, (weight.Stripes + StripesAtOnce - 1) / StripesAtOnce, piece =>
            {
                int first = piece * StripesAtOnce;
                weight.Pack(addresses, first, Math.Min(StripesAtOnce, weight.Stripes - first), destination.Address + (nint)header);
            });
        }
        finally
        {
            streams.ForEach(s => s.Dispose());
        }
    }

    /// <summary>A stream in a buffer of its own.</summary>
    internal static WeightBuffer Read(TensorData data, int threads)
    {
        var buffer = new WeightBuffer(data.LengthBytes);
        try
        {
            TileJob.InPieces(threads, (int)((data.LengthBytes + ReadBytes - 1) / ReadBytes), piece =>
            {
                long first = (long)piece * ReadBytes;
                int count = (int)Math.Min(ReadBytes, data.LengthBytes - first);
                data.Read(first, buffer.Slice(first, count));
            });
            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }

    private static long Length(DenseEncoding values, string role)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(values.Format, values.Shape);
        return bound.Streams.First(s => s.Role == role).BytesPerRow * bound.Shape.Rows;
    }

    private static SparseWeight? Weight(StructuredEncoding stored, bool transposed)
    {
        if (stored.Shape.Rank != 2 || stored.Shape[0] > int.MaxValue || stored.Shape[1] > int.MaxValue || stored.Components is not [DenseEncoding { Streams: [EncodedStream bits] }, DenseEncoding values]
            || bits.Data.LengthBytes > Array.MaxLength)
        {
            return null;
        }

        byte[] mask = new byte[bits.Data.LengthBytes];
        bits.Data.Read(0, mask);
        SparseWeight? weight = SparseWeight.TryCreate(stored.Structure, values.Format, (int)stored.Shape[transposed ? 1 : 0], (int)stored.Shape[transposed ? 0 : 1], mask, transposed);
        long set = SparseMatrix.PopCount(mask);
        if (weight is not null && (set != weight.StoredBlocks || set != values.Shape[0]))
        {
            weight.Dispose();
            throw new ModelPackException(ErrorCodes.BadSparseIndex, $"the mask of '{stored.Structure}' has {set} bits set, {weight.StoredBlocks} of them for blocks; its values are for {values.Shape[0]}");
        }

        return weight;
    }
}
