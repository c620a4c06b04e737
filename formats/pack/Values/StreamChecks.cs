using ModelPack.Numbers;

namespace ModelPack.Pack;

/// <summary>Whether streams are what a number format says they are.</summary>
internal static class StreamChecks
{
    /// <summary>Binds the format of an encoded (not pending) dense encoding and checks roles and lengths.</summary>
    /// <exception cref="ModelPackException">MP1020, MP1021, MP1022.</exception>
    public static IBoundNumberFormat Bind(DenseEncoding encoding)
    {
        IBoundNumberFormat format = NumberFormats.Bind(encoding.Format, encoding.Shape);
        if (format.Streams.Count != encoding.Streams.Length)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Format}' has {format.Streams.Count} streams, not {encoding.Streams.Length}");
        }

        for (int s = 0; s < format.Streams.Count; s++)
        {
            StreamLayout layout = format.Streams[s];
            EncodedStream stream = encoding.Streams[s];
            Int128 need = layout.HasFixedLength ? (Int128)format.Shape.Rows * layout.BytesPerRow : stream.Data.LengthBytes;
            if (layout.Role != stream.Role || need != stream.Data.LengthBytes)
            {
                throw new ModelPackException(
                    ErrorCodes.BadEncoding,
                    $"stream {s} of '{encoding.Format}' must be '{layout.Role}' with {need} bytes, not '{stream.Role}' with {stream.Data.LengthBytes}");
            }
        }

        return format;
    }
}
