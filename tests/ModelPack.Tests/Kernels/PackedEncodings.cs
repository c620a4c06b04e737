using System.Runtime.InteropServices;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;

namespace ModelPack.Tests.Kernels;

/// <summary>Encoded matrices in execution layout.</summary>
internal static class PackedEncodings
{
    /// <summary>With the header: what operators are given.</summary>
    /// <param name="matrix">The matrix.</param>
    /// <param name="wide">True for f32 scales where tiles have f16: what artifacts of earlier versions were made for.</param>
    public static unsafe byte[] Packed(this EncodedMatrix matrix, bool wide = false)
    {
        using MatMulWeight today = MatMulWeight.TryCreate(matrix.Spec, (int)matrix.Shape[0], (int)matrix.Shape[1])!;
        using MatMulWeight? earlier = wide ? today.WithF32Scales() : null;
        MatMulWeight weight = earlier ?? today;
        int header = PackedMatrix.HeaderBytes(weight.Format);
        byte[] bytes = new byte[PackedMatrix.Bytes(weight)];
        PackedMatrix.WriteHeader(weight, bytes.AsSpan(0, header));
        void* tiles = NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
        weight.Pack(matrix.Streams(weight.Roles), 0, weight.Layout.Tiles, (nint)tiles);
        new Span<byte>(tiles, (int)weight.Bytes).CopyTo(bytes.AsSpan(header));
        NativeMemory.AlignedFree(tiles);
        return bytes;
    }
}
