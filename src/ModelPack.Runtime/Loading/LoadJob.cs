using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>One binding with where its bytes come from and go to.</summary>
/// <param name="Weight">The stored tensor.</param>
/// <param name="Role">Stream, or null for the values.</param>
/// <param name="DType">Element type of the initializer.</param>
/// <param name="StoredType">Element type of the stream: narrower than <paramref name="DType"/> for scales to be widened.</param>
/// <param name="Buffer">Destination.</param>
internal sealed record LoadJob(IStoredWeight Weight, string? Role, DType DType, DType StoredType, WeightBuffer Buffer)
{
    public void Run(int threads)
    {
        if (Role is null)
        {
            Weight.ReadDense(DType, Buffer.Address, Buffer.LengthBytes, threads);
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
}
