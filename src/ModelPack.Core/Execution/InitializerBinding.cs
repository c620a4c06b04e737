using System.Globalization;

namespace ModelPack;

/// <summary>
/// How one initializer of the execution graph gets its bytes from the artifact.
/// </summary>
/// <param name="Initializer">Name of the initializer in the execution graph.</param>
/// <param name="Tensor">Name of the stored tensor, or of a component of one (<see cref="ComponentName"/>).</param>
/// <param name="Role">
/// Null: the tensor's values, decoded to <paramref name="DType"/> (dense). Otherwise the role of a stream whose bytes are used as they are
/// (or, for <c>scales</c> stored in f16 or bf16, widened to <paramref name="DType"/>; for 8-bit <c>codes</c> bound as <c>i8</c>, minus 128 each: the values of signed integers). <see cref="Tiles"/>: all
/// streams together in the execution layout of the kernels on packed weights. <see cref="NeuronRows"/>: the stored matrix as it is, behind a header, for kernels that leave out rows.
/// </param>
/// <param name="DType">Element type of the initializer.</param>
/// <param name="Shape">Shape of the initializer.</param>
/// <param name="Transposed">True when the initializer, a matrix of one-byte elements, is the transpose of what the stream holds; in execution layout, when it is that of the transpose of the stored block-sparse matrix.</param>
public sealed record InitializerBinding(string Initializer, string Tensor, string? Role, DType DType, Shape Shape, bool Transposed = false)
{
    /// <summary>The role of initializers in execution layout.</summary>
    public const string Tiles = "tiles";

    /// <summary>The role of initializers that hold a matrix of plain floats row by row.</summary>
    public const string NeuronRows = "neuron-rows";

    /// <summary>The name by which bindings know a component of a stored tensor: of the structure in its tree that has several.</summary>
    public static string ComponentName(string tensor, int component) => string.Create(CultureInfo.InvariantCulture, $"{tensor}#{component}");

    /// <summary>Tensor and component of such a name; null for others.</summary>
    public static (string Tensor, int Component)? SplitComponent(string name)
    {
        int at = name.LastIndexOf('#');
        return at > 0 && int.TryParse(name.AsSpan(at + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int component) ? (name[..at], component) : null;
    }
}
