using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Constants with rotated axes. They stay what they are to the graph: f32, stored plainly or transposed.</summary>
internal static class RotatedTensor
{
    /// <summary>Why a constant cannot be rotated; null when it can.</summary>
    public static string? Refusal(Tensor tensor) => ScaledConstants.CanScale(tensor) ? null : $"'{tensor.Name}' is not stored as plain f32 numbers";

    /// <summary>The encoding of a tensor after rotations.</summary>
    /// <param name="encoding">Plain or transposed; a rotation of another axis than the last is for matrices only.</param>
    /// <param name="first">Along the first axis of a matrix.</param>
    /// <param name="last">Along the last axis.</param>
    /// <param name="context">Where results are kept that cannot be computed row by row.</param>
    public static WeightEncoding Rotate(WeightEncoding encoding, ChannelRotation? first, ChannelRotation? last, PassContext context)
    {
        if (encoding is StructuredEncoding transposed)
        {
            return Structured.Transpose(Rotate(transposed.Components[0], last, first, context));
        }

        var dense = (DenseEncoding)encoding;
        _ = Structured.IsRaw(dense, out DType stored);
        int columns = checked((int)dense.Shape[-1]);
        var source = new StoredFloats(dense.Streams[0].Data, stored, dense.Shape.ElementCount / columns, columns);
        TensorData rotated = first is not null ? new ColumnRotatedData(source, first, last, bytes => context.Keep(bytes))
            : last is not null ? new RowRotatedData(source, last)
            : dense.Streams[0].Data;
        return first is null && last is null ? dense : DenseEncoding.Raw(DType.F32, dense.Shape, rotated);
    }
}
