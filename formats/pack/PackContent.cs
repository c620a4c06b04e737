using System.Collections.Immutable;

namespace ModelPack.Pack;

/// <summary>What to write into an artifact.</summary>
/// <param name="Tensors">Tensors in the order they are to be stored; names are unique.</param>
/// <param name="Blobs">Named byte strings (graph, plan, recipe, ...), stored after the tensors; names are unique.</param>
/// <param name="Metadata">Text properties, kept in the manifest.</param>
public sealed record PackContent(
    ImmutableArray<PackTensorContent> Tensors,
    ImmutableArray<KeyValuePair<string, TensorData>> Blobs,
    ImmutableSortedDictionary<string, string> Metadata)
{
    /// <summary>Nothing at all: start here and use <c>with</c>.</summary>
    public static PackContent Empty { get; } = new([], [], ImmutableSortedDictionary<string, string>.Empty.WithComparers(StringComparer.Ordinal));
}

/// <summary>One tensor to write.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Element type that users of the tensor see.</param>
/// <param name="Shape">Its shape; equals the encoding's.</param>
/// <param name="Encoding">How it is stored, or (pending) is to be stored.</param>
public sealed record PackTensorContent(string Name, DType DType, Shape Shape, WeightEncoding Encoding)
{
    /// <summary>The records that its bytes consist of, if they are stored as they come and consist of such: another codec to try.</summary>
    public RecordLayout? Records { get; init; }
}
