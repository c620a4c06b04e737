using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>A weight as the matrix that passes work on, and back.</summary>
internal static class WeightMatrix
{
    /// <summary>The matrix, rows along the axis that is summed over.</summary>
    public static WeightEncoding Of(Tensor tensor, WeightLayout layout) => layout switch
    {
        WeightLayout.First => Structured.Transpose(Of(tensor, WeightLayout.Filters)),
        WeightLayout.Columns => Structured.Transpose(tensor.Encoding),
        WeightLayout.Filters => Structured.Reshape(tensor.Encoding, new Shape(tensor.Shape[0], tensor.Shape.ElementCount / tensor.Shape[0])),
        _ => tensor.Encoding,
    };

    /// <summary>The inverse of <see cref="Of"/>.</summary>
    public static WeightEncoding Wrap(Tensor tensor, WeightLayout layout, WeightEncoding matrix) => layout switch
    {
        WeightLayout.Columns => Structured.Transpose(matrix),
        WeightLayout.Filters => Structured.Reshape(matrix, tensor.Shape),
        WeightLayout.First => Structured.Reshape(Structured.Transpose(matrix), tensor.Shape),
        _ => matrix,
    };
}
