using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>Brings a stored matrix of single elements (N:M, banks, any) into the execution layout of the kernels; elements that are not stored are never made.</summary>
internal static unsafe class MaskedTileJob
{
    /// <summary>Rows that are packed as one piece of work.</summary>
    private const int RowsAtOnce = 256;

    /// <summary>What is wrong with a binding as bytes; null when it fits the stored matrix.</summary>
    public static string? WhyNot(InitializerBinding binding, StructuredEncoding stored)
    {
        if (binding.Transposed || Weight(stored) is not MaskedWeight weight)
        {
            return $"bound in execution layout, but no kernel reads {UnitSpec.Shorten(stored.Describe())}, or its mask is damaged";
        }

        if (PackedMaskedMatrix.Bytes(weight) != binding.Shape[0])
        {
            return $"bound as {binding.Shape[0]} bytes, but the execution layout has {PackedMaskedMatrix.Bytes(weight)}";
        }

        var values = (DenseEncoding)stored.Components[1];
        IBoundNumberFormat bound = NumberFormats.Bind(values.Format, values.Shape);
        if (values.Shape.ElementCount < weight.Stored)
        {
            return $"its mask names {weight.Stored} values, of which {values.Shape.ElementCount} are stored";
        }

        foreach (string role in weight.Roles)
        {
            long bytes = bound.Streams.First(s => s.Role == role).BytesPerRow * bound.Shape.Rows;
            if (values.Streams.FirstOrDefault(s => s.Role == role)?.Data.LengthBytes != bytes)
            {
                return $"its stream '{role}' does not have {bytes} bytes";
            }
        }

        return null;
    }

    /// <summary>Fills a buffer; the binding was found to fit.</summary>
    public static void Run(StructuredEncoding stored, WeightBuffer destination, int threads)
    {
        MaskedWeight weight = Weight(stored)!;
        var values = (DenseEncoding)stored.Components[1];
        var streams = new List<WeightBuffer>();
        try
        {
            foreach (string role in weight.Roles)
            {
                streams.Add(SparseTileJob.Read(values.Streams.First(s => s.Role == role).Data, threads));
            }

            nint[] addresses = [.. streams.Select(s => s.Address)];
            long header = PackedMaskedMatrix.TilesOffset(weight);
            PackedMaskedMatrix.WriteHeader(weight, new Span<byte>((void*)destination.Address, checked((int)header)));
            TileJob.InPieces(threads, (weight.Rows + RowsAtOnce - 1) / RowsAtOnce, piece =>
            {
                int first = piece * RowsAtOnce;
                weight.Pack(addresses, first, Math.Min(RowsAtOnce, weight.Rows - first), destination.Address + (nint)header);
            });
        }
        finally
        {
            streams.ForEach(s => s.Dispose());
        }
    }

    private static MaskedWeight? Weight(StructuredEncoding stored)
    {
        if (stored.Shape.Rank != 2 || stored.Shape[0] > int.MaxValue || stored.Shape[1] > int.MaxValue || stored.Components is not [DenseEncoding { Streams: [EncodedStream bits] }, DenseEncoding values] || bits.Data.LengthBytes > Array.MaxLength)
        {
            return null;
        }

        byte[] mask = new byte[bits.Data.LengthBytes];
        bits.Data.Read(0, mask);
        return MaskedWeight.TryCreate(stored.Structure, values.Format, (int)stored.Shape[0], (int)stored.Shape[1], mask);
    }
}
