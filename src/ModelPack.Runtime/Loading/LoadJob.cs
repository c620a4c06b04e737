using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>One binding with where its bytes come from and go to.</summary>
/// <param name="Weight">The stored tensor.</param>
/// <param name="Role">Stream, or null for the values.</param>
/// <param name="DType">Element type of the initializer.</param>
/// <param name="StoredType">Element type of the stream: narrower than <paramref name="DType"/> for scales to be widened.</param>
/// <param name="Buffer">Destination.</param>
/// <param name="TransposedColumns">Columns of the initializer when it is the transpose of the stream, else 0; in execution layout any number for the transpose.</param>
internal sealed record LoadJob(IStoredWeight Weight, string? Role, DType DType, DType StoredType, WeightBuffer Buffer, long TransposedColumns = 0)
{
    public void Run(int threads)
    {
        if (Role is null)
        {
            Weight.ReadDense(DType, Buffer.Address, Buffer.LengthBytes, threads);
        }
        else if (Role == InitializerBinding.Tiles)
        {
            TileJob.Run(Weight, TransposedColumns > 0, Buffer, threads);
        }
        else if (Role == InitializerBinding.NeuronRows)
        {
            NeuronRowsJob.Run(Weight, Buffer, threads);
        }
        else if (StoredType == DType.U8 && DType == DType.I8)
        {
            ReadSignedCodes(threads);
        }
        else if (StoredType == DType)
        {
            Weight.ReadStream(Role, Buffer.Address, Buffer.LengthBytes, threads);
        }
        else
        {
            // The narrow values are read into the second half of their own destination and widened from the front: of n values, value i lies at
            // byte 2n + 2i and goes to byte 4i, so no write reaches a value that is still to be read.
            long narrowBytes = Buffer.LengthBytes / 2;
            Weight.ReadStream(Role, Buffer.Address + (nint)narrowBytes, narrowBytes, threads);
            Widen.ToSingle(StoredType, Buffer.Address + (nint)narrowBytes, Buffer.Address, narrowBytes / 2);
        }
    }

    /// <summary>8-bit codes, whose zero is 128, as signed integers.</summary>
    private void ReadSignedCodes(int threads)
    {
        if (TransposedColumns == 0)
        {
            Weight.ReadStream(Role!, Buffer.Address, Buffer.LengthBytes, threads);
            SignedCodes.Flip(Buffer.Address, Buffer.LengthBytes);
            return;
        }

        using var stored = new WeightBuffer(Buffer.LengthBytes);
        Weight.ReadStream(Role!, stored.Address, stored.LengthBytes, threads);
        SignedCodes.Flip(stored.Address, stored.LengthBytes);
        SignedCodes.Transpose(stored.Address, Buffer.Address, TransposedColumns, Buffer.LengthBytes / Math.Max(1, TransposedColumns));
    }
}
