namespace ModelPack.Kernels.MatMul;

/// <summary>Scales stored as f32, f16 or bf16.</summary>
internal static unsafe class FloatScales
{
    /// <param name="stream">Address of the stream.</param>
    /// <param name="dtype">Its type.</param>
    /// <param name="first">Index of the first scale.</param>
    /// <param name="scales">Destination.</param>
    public static void Read(nint stream, DType dtype, long first, Span<float> scales)
    {
        switch (dtype)
        {
            case DType.F32:
                new ReadOnlySpan<float>((float*)stream + first, scales.Length).CopyTo(scales);
                break;
            case DType.F16:
                Half* halves = (Half*)stream + first;
                for (int i = 0; i < scales.Length; i++)
                {
                    scales[i] = (float)halves[i];
                }

                break;
            default:
                ushort* words = (ushort*)stream + first;
                for (int i = 0; i < scales.Length; i++)
                {
                    scales[i] = BitConverter.UInt32BitsToSingle((uint)words[i] << 16);
                }

                break;
        }
    }
}
