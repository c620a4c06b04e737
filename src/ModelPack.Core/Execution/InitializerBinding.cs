namespace ModelPack;

/// <summary>
/// How one initializer of the execution graph gets its bytes from the artifact.
/// </summary>
/// <param name="Initializer">Name of the initializer in the execution graph.</param>
/// <param name="Tensor">Name of the stored tensor.</param>
/// <param name="Role">
/// Null: the tensor's values, decoded to <paramref name="DType"/> (dense). Otherwise the role of a stream whose bytes are used as they are
/// (or, for <c>scales</c> stored in f16 or bf16, widened to <paramref name="DType"/>; for 8-bit <c>codes</c> bound as <c>i8</c>, minus 128 each: the values of signed integers). <see cref="Tiles"/>: all
/// streams together in the execution layout of the kernels on packed weights.
/// </param>
/// <param name="DType">Element type of the initializer.</param>
/// <param name="Shape">Shape of the initializer.</param>
/// <param name="Transposed">True when the initializer, a matrix of one-byte elements, is the transpose of what the stream holds; in execution layout, when it is that of the transpose of the stored block-sparse matrix.</param>
public sealed record InitializerBinding(string Initializer, string Tensor, string? Role, DType DType, Shape Shape, bool Transposed = false)
{
    /// <summary>The role of initializers in execution layout.</summary>
    public const string Tiles = "tiles";
}
