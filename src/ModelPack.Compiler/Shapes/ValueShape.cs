using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>What is known of a value of a graph when its inputs have given sizes.</summary>
/// <param name="DType">Element type; undefined where it is not known.</param>
/// <param name="Shape">Its shape; null where it depends on data, or on an operator that no rule describes.</param>
public sealed record ValueShape(DType DType, Shape? Shape)
{
    /// <summary>Nothing is known.</summary>
    public static ValueShape Unknown { get; } = new(DType.Undefined, null);

    /// <summary>More bytes than any machine has: sums of as many as a graph has values stay in range.</summary>
    private const long MostBytes = 1L << 46;

    /// <summary>Bytes that it takes; null where they are not known, or too many.</summary>
    public long? Bytes => Shape is Shape shape && shape.TryElementCount(out long count) && DType.TryStorageBytes(count, out long bytes) && bytes <= MostBytes ? bytes : null;

    /// <summary>Its elements, row-major, where they follow from sizes alone and are few: shapes, axes, positions. Default where they are not known.</summary>
    internal ImmutableArray<double> Elements { get; init; }
}
