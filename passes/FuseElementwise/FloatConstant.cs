using System.Runtime.InteropServices;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Reads small f32 constants that stand beside an activation in an element-wise operator.</summary>
internal static class FloatConstant
{
    private const int MaxElements = 1 << 20;

    /// <summary>The elements of a plainly stored f32 tensor; null for every other tensor and for large ones.</summary>
    public static float[]? Read(Tensor? tensor) =>
        tensor is { DType: DType.F32 } && tensor.Shape.ElementCount <= MaxElements && tensor.TryGetRawData(out TensorData data)
            ? MemoryMarshal.Cast<byte, float>(data.ToArray()).ToArray()
            : null;

    /// <summary>The value of a constant of one element, of any rank up to that of an activation; null for everything else.</summary>
    public static float? Scalar(Tensor? tensor, int rank) =>
        tensor is not null && tensor.Shape.Rank <= rank && tensor.Shape.ElementCount == 1 && Read(tensor) is [float value] ? value : null;

    /// <summary>
    /// A factor or offset per channel of an activation [N, C, ...]: a constant of one element, or of shape [C, 1, ...] or [1, C, 1, ...]. Null for everything else.
    /// </summary>
    /// <param name="tensor">The constant.</param>
    /// <param name="channels">C.</param>
    /// <param name="rank">Rank of the activation.</param>
    public static float[]? PerChannel(Tensor? tensor, long channels, int rank)
    {
        if (Scalar(tensor, rank) is float value)
        {
            float[] same = new float[channels];
            Array.Fill(same, value);
            return same;
        }

        int axis = tensor is null ? -1 : tensor.Shape.Rank - rank + 1;
        return tensor is not null && axis is 0 or 1 && tensor.Shape.ElementCount == channels && tensor.Shape[axis] == channels ? Read(tensor) : null;
    }
}
