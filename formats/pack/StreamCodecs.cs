using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>The choice of lossless codecs that the writer makes.</summary>
public static class StreamCodecs
{
    /// <summary>The codec that the writer would take for a stream, chosen from samples; null for storing it.</summary>
    /// <param name="level">How hard it tries.</param>
    /// <param name="elementType">What the bytes are.</param>
    /// <param name="data">The stream.</param>
    public static ICodec? Choose(CodecLevel level, DType elementType, TensorData data) => CodecChooser.Choose(level, elementType, CopyJob.Sample(data));
}
