using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>The choice of lossless codecs that the writer makes.</summary>
public static class StreamCodecs
{
    /// <summary>The codec that the writer would take for a stream, chosen from samples; null for storing it.</summary>
    /// <param name="level">How hard it tries.</param>
    /// <param name="elementType">What the bytes are.</param>
    /// <param name="data">The stream.</param>
    /// <param name="portable">Without the codecs that are fast with AVX-512 alone.</param>
    public static ICodec? Choose(CodecLevel level, DType elementType, TensorData data, bool portable = false) =>
        CodecChooser.Choose(new CodecPolicy(level, portable), elementType, data.LengthBytes, CopyJob.SampleOf(data));
}
