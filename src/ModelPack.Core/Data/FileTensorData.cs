namespace ModelPack;

/// <summary>A range of a <see cref="MappedFile"/>.</summary>
public sealed class FileTensorData : TensorData
{
    internal FileTensorData(MappedFile file, long offsetBytes, long lengthBytes)
        : base(lengthBytes)
    {
        if (offsetBytes < 0 || lengthBytes > file.LengthBytes - offsetBytes)
        {
            throw new ArgumentOutOfRangeException(nameof(offsetBytes));
        }

        File = file;
        OffsetBytes = offsetBytes;
    }

    /// <summary>The file that holds the bytes.</summary>
    public MappedFile File { get; }

    /// <summary>Where the bytes start in <see cref="File"/>.</summary>
    public long OffsetBytes { get; }

    protected override void ReadCore(long offsetBytes, Span<byte> destination) => File.Read(OffsetBytes + offsetBytes, destination);

    protected override bool TryGetSpanCore(long offsetBytes, int lengthBytes, out ReadOnlySpan<byte> span)
    {
        span = File.Span(OffsetBytes + offsetBytes, lengthBytes);
        return true;
    }
}
