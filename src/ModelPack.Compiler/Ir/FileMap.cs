using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>Where the tensor bytes lie in one file, so that <c>pack</c> can code them by dtype and give the file back byte for byte.</summary>
/// <param name="File">The file.</param>
/// <param name="Ranges">Tensor byte ranges, ascending, not overlapping; all other bytes belong to the container's framing.</param>
public sealed record FileMap(MappedFile File, ImmutableArray<TensorRange> Ranges);

/// <summary>The bytes of one tensor inside a file.</summary>
/// <param name="Name">Tensor name; unique within the map (the container adds a suffix where the file repeats one).</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Shape; its storage size equals <paramref name="LengthBytes"/>, unless there is a <see cref="Format"/>.</param>
/// <param name="OffsetBytes">Start in the file.</param>
/// <param name="LengthBytes">Length; at least one byte (empty tensors have no range).</param>
public readonly record struct TensorRange(string Name, DType DType, Shape Shape, long OffsetBytes, long LengthBytes)
{
    /// <summary>The number format that the bytes are in, its streams one after the other; dtype and shape are then those of its values. Null for plain numbers.</summary>
    public string? Format { get; init; }

    /// <summary>The records that the bytes consist of, where there are such: helps to code them.</summary>
    public RecordLayout? Records { get; init; }
}
