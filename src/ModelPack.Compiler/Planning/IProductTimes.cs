namespace ModelPack.Compiler.Planning;

/// <summary>One way to compute a product of activations [rows, inputs] and a weight [outputs, inputs].</summary>
/// <param name="Kernel">As plans name it.</param>
/// <param name="Format">Number format of the weight.</param>
/// <param name="Outputs">Rows of the weight.</param>
/// <param name="Inputs">Its columns.</param>
/// <param name="Rows">Rows of activations.</param>
public sealed record ProductCandidate(string Kernel, UnitSpec Format, long Outputs, long Inputs, long Rows)
{
    /// <summary>Structure of a sparse weight, of whose values <see cref="Format"/> is; null for dense ones.</summary>
    public UnitSpec? Structure { get; init; }

    /// <summary>Percent of a sparse weight that is not stored.</summary>
    public int SparsityPercent { get; init; }
}

/// <summary>Times of products on the machine that plans are made on.</summary>
public interface IProductTimes
{
    /// <summary>Seconds of the fastest run; null when it was not measured and there is no time left to.</summary>
    double? Seconds(ProductCandidate candidate);

    /// <summary>Told which kernel was taken where times decided, and which would have been without them.</summary>
    void Chosen(string kernel, string usual);
}
