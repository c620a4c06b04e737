using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// Checkpoints of ModelOpt: NVFP4 as <c>weight</c> u8 [out, in / 2], <c>weight_scale</c> f8 [out, in / 16] and <c>weight_scale_2</c> f32 [], which multiplies; FP8 as <c>weight</c> f8 and <c>weight_scale</c> f32 [], as in
/// checkpoints of <c>quant_method</c> fp8 without blocks.
/// </summary>
/// <remarks>Source: NVIDIA/Model-Optimizer, <c>modelopt/torch/export/unified_export_hf.py</c>.</remarks>
internal static class ModelOptWeights
{
    private const int Group = 16;

    private static readonly string[] Parts = [".weight_scale", ".weight_scale_2", ".weight_scale_inv"];

    public static ImmutableArray<Tensor> Join(QuantizedTensors tensors)
    {
        foreach (Tensor weight in tensors.All.Where(t => t.Name.EndsWith(".weight", StringComparison.Ordinal) && t.Shape.Rank == 2 && t.DType is DType.U8 or DType.F8E4M3FN))
        {
            Tensor scales = tensors.Need($"{weight.Name}_scale", $"'{weight.Name}'");
            TensorData codes = tensors.Data(weight, weight.DType, weight.Shape);
            if (weight.DType == DType.F8E4M3FN)
            {
                tensors.Join(Fp8(tensors, weight, codes, scales), weight, scales);
                continue;
            }

            Tensor global = tensors.Need($"{weight.Name}_scale_2", $"'{weight.Name}'");
            var shape = new Shape(weight.Shape[0], checked(weight.Shape[1] * 2));
            tensors.Join(Nvfp4(tensors, weight.Name, shape, codes, scales, tensors.Number(global), null), weight, scales, global);
        }

        return tensors.Result(name => Array.Exists(Parts, p => name.EndsWith(p, StringComparison.Ordinal)));
    }

    /// <summary>E4M3 codes with one scale for the tensor.</summary>
    public static Tensor Fp8(QuantizedTensors tensors, Tensor weight, TensorData codes, Tensor scale)
    {
        string number = tensors.Number(scale).ToString("R", CultureInfo.InvariantCulture);
        var format = new UnitSpec("fp8", ("backoff", "1"), ("element", "e4m3fn"), ("min_amax", "0"), ("rule", "absmax"), ("scale", number), ("scope", "tensor"));
        return QuantizedTensors.Weight(weight.Name, scale.DType, weight.Shape, format, new EncodedStream("codes", codes));
    }

    /// <summary>E2M1 codes with E4M3 scales and one scale for the tensor.</summary>
    /// <param name="tensors">For messages.</param>
    /// <param name="name">Of the weight.</param>
    /// <param name="shape">[out, in].</param>
    /// <param name="codes">[out, in / 2], even inputs in low nibbles.</param>
    /// <param name="scales">[out, in / 16].</param>
    /// <param name="global">What the scales are multiplied by.</param>
    /// <param name="divisor">The number that is stored where that is a divisor.</param>
    public static Tensor Nvfp4(QuantizedTensors tensors, string name, Shape shape, TensorData codes, Tensor scales, float global, float? divisor)
    {
        if (shape[1] % Group != 0)
        {
            throw tensors.Wrong(scales, $"belongs to rows of {shape[1]}, which are no whole groups of {Group}");
        }

        if (!(global > 0) || !float.IsFinite(global))
        {
            throw tensors.Wrong(scales, "has a scale of the whole tensor whose reciprocal f32 does not hold");
        }

        TensorData blocks = tensors.Data(scales, DType.F8E4M3FN, new Shape(shape[0], shape[1] / Group));
        var format = new UnitSpec("nvfp4", ("global", global.ToString("R", CultureInfo.InvariantCulture)));
        format = divisor is float d && 1 / global != d ? format.With("divisor", d.ToString("R", CultureInfo.InvariantCulture)) : format;
        return QuantizedTensors.Weight(name, DType.BF16, shape, format, new EncodedStream("codes", codes), new EncodedStream("scales", blocks));
    }
}
