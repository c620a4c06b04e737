namespace ModelPack.Pack;

/// <summary>A file to pack: its bytes, and where tensors lie in it.</summary>
/// <param name="RelativePath">Path under which it is restored, with forward slashes; the file name for a single file.</param>
/// <param name="File">The open file.</param>
/// <param name="Ranges">Tensor byte ranges, ascending, not overlapping; may be empty.</param>
public sealed record PackedFileSource(string RelativePath, MappedFile File, IReadOnlyList<PackedFileRange> Ranges);

/// <summary>The bytes of one tensor in a file.</summary>
/// <param name="Name">Tensor name, for listings.</param>
/// <param name="DType">Element type: selects the codec.</param>
/// <param name="Shape">Shape, for listings.</param>
/// <param name="OffsetBytes">Start in the file.</param>
/// <param name="LengthBytes">Length; at least one byte.</param>
public readonly record struct PackedFileRange(string Name, DType DType, Shape Shape, long OffsetBytes, long LengthBytes)
{
    /// <summary>The number format with one stream that the bytes are in; dtype and shape are then those of its values. Null for plain numbers.</summary>
    public string? Format { get; init; }

    /// <summary>The records that the bytes consist of, where there are such: selects the codec.</summary>
    public RecordLayout? Records { get; init; }
}
