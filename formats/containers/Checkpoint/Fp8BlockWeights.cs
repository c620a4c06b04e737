using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// Weights of FP8 checkpoints in the manner of DeepSeek-V3: a matrix <c>x.weight</c> of E4M3 codes and a matrix <c>x.weight_scale_inv</c> of f32 scales that multiply, one per
/// 128x128 block (fewer at the edges). In the model the two are one f32 weight whose encoding <c>fp8(scope=tile)</c> has their bytes as its streams.
/// </summary>
public static class Fp8BlockWeights
{
    internal const int MinBlock = 16;
    internal const int MaxBlock = 4096;

    private const int DefaultBlock = 128;
    private const string WeightSuffix = ".weight";
    private const string ScaleSuffix = "_scale_inv";

    /// <summary>Makes one weight of every pair, lazily: no tensor data is read.</summary>
    /// <param name="tensors">Plain tensors of a file or folder.</param>
    /// <param name="declaredBlock">
    /// Edge of the blocks where the checkpoint's config declares them. Then every <c>*.weight_scale_inv</c> and every E4M3 matrix <c>*.weight</c> must have its fitting counterpart:
    /// codes without their scales would be wrong values that nothing shows. Null: pairs that fit blocks of 128x128 are joined and all else stays plain, because it may mean something else, or its counterpart lie in another file.
    /// </param>
    /// <param name="path">The file or folder, for messages.</param>
    /// <exception cref="ModelPackException">MP1170: a declared pair is incomplete or does not fit.</exception>
    internal static ImmutableArray<Tensor> Join(ImmutableArray<Tensor> tensors, int? declaredBlock, string path)
    {
        // The usual checkpoint has none, and may have 100,000 tensors.
        if (!tensors.Any(t => t.DType == DType.F8E4M3FN || t.Name.EndsWith(WeightSuffix + ScaleSuffix, StringComparison.Ordinal)))
        {
            return tensors;
        }

        int block = declaredBlock ?? DefaultBlock;
        Dictionary<string, Tensor> byName = tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var joined = new HashSet<string>(StringComparer.Ordinal);
        var result = ImmutableArray.CreateBuilder<Tensor>(tensors.Length);
        foreach (Tensor weight in tensors)
        {
            bool named = weight.Name.EndsWith(WeightSuffix, StringComparison.Ordinal);
            Tensor? scales = byName.GetValueOrDefault(weight.Name + ScaleSuffix);
            if (IsCodes(weight) && scales is not null && scales.DType == DType.F32 && scales.Shape == ScaleShape(weight.Shape, block))
            {
                joined.Add(scales.Name);
                result.Add(One(weight, scales, block));
                continue;
            }

            if (declaredBlock is not null && named && scales is null && IsCodes(weight))
            {
                throw Misfit(weight, path, $"is FP8 in blocks of {block}x{block} by the config, but '{weight.Name}{ScaleSuffix}' is missing");
            }

            result.Add(weight);
        }

        if (declaredBlock is not null)
        {
            CheckScales(tensors, byName, joined, block, path);
        }

        result.RemoveAll(t => joined.Contains(t.Name));
        return result.DrainToImmutable();
    }

    /// <summary>
    /// The model as an FP8 checkpoint: weights encoded as <c>fp8(element=e4m3fn,scope=tile)</c> become their two tensors, the config declares them. All of one block size; matrices of
    /// another, like everything else, stay what they are and are written dense.
    /// </summary>
    /// <returns>The same model when no weight is encoded so.</returns>
    public static Model Split(Model model)
    {
        int? block = model.Graph.Initializers.Select(BlockOf).FirstOrDefault(b => b is not null);
        if (block is not int edge)
        {
            return model;
        }

        var tensors = ImmutableArray.CreateBuilder<Tensor>(model.Graph.Initializers.Length);
        var converted = new HashSet<string>(StringComparer.Ordinal);
        var dense = new List<string>();
        var restored = new List<string>();
        foreach (Tensor tensor in model.Graph.Initializers)
        {
            string module = tensor.Name.EndsWith(WeightSuffix, StringComparison.Ordinal) ? tensor.Name[..^WeightSuffix.Length] : tensor.Name;
            if (BlockOf(tensor) == edge)
            {
                var encoding = (DenseEncoding)tensor.Encoding;
                tensors.Add(Tensor.Raw(tensor.Name, DType.F8E4M3FN, tensor.Shape, encoding.Streams[0].Data));
                tensors.Add(Tensor.Raw(tensor.Name + ScaleSuffix, DType.F32, ScaleShape(tensor.Shape, edge), encoding.Streams[1].Data));
                converted.Add(module);
                continue;
            }

            tensors.Add(tensor);
            if (tensor.Shape.Rank == 2 && module.Length < tensor.Name.Length)
            {
                (tensor.TryGetRawData(out _) ? dense : restored).Add(module);
            }
        }

        Model split = model with { Graph = model.Graph with { Initializers = tensors.DrainToImmutable() } };
        return Fp8Declaration.With(split, edge, converted, dense, restored);
    }

    private static bool IsCodes(Tensor tensor) => tensor.DType == DType.F8E4M3FN && tensor.Shape.Rank == 2;

    private static Shape ScaleShape(Shape weight, int block) => new(Blocks(weight[0], block), Blocks(weight[1], block));

    private static long Blocks(long length, int block) => (length / block) + (length % block == 0 ? 0 : 1);

    private static Tensor One(Tensor weight, Tensor scales, int block)
    {
        weight.TryGetRawData(out TensorData codes);
        scales.TryGetRawData(out TensorData factors);
        var format = new UnitSpec(
            "fp8", ("backoff", "1"), ("block", block.ToString(CultureInfo.InvariantCulture)), ("element", "e4m3fn"), ("min_amax", "0"), ("rule", "absmax"), ("scope", "tile"));
        return weight with
        {
            DType = DType.F32,
            Encoding = new DenseEncoding(format, weight.Shape, [new EncodedStream("codes", codes), new EncodedStream("scales", factors)]),
        };
    }

    /// <summary>The block edge of a weight that can be written as a pair.</summary>
    private static int? BlockOf(Tensor tensor) =>
        tensor is { Shape.Rank: 2, Encoding: DenseEncoding { IsPending: false, Format.Id: "fp8", Streams.Length: 2 } encoding }
        && encoding.Format.Text("scope", "row") == "tile" && encoding.Format.Text("element", "e4m3fn") == "e4m3fn"
            ? encoding.Format.Int("block", DefaultBlock, MinBlock, MaxBlock)
            : null;

    private static void CheckScales(ImmutableArray<Tensor> tensors, Dictionary<string, Tensor> byName, HashSet<string> joined, int block, string path)
    {
        foreach (Tensor scales in tensors)
        {
            if (!scales.Name.EndsWith(WeightSuffix + ScaleSuffix, StringComparison.Ordinal) || joined.Contains(scales.Name))
            {
                continue;
            }

            string name = scales.Name[..^ScaleSuffix.Length];
            if (!byName.TryGetValue(name, out Tensor? weight))
            {
                throw Misfit(scales, path, $"has no weight '{name}'");
            }

            throw Misfit(scales, path, IsCodes(weight)
                ? $"{scales.DType.Name()}{scales.Shape} does not fit {weight.DType.Name()}{weight.Shape} in blocks of {block}x{block}, which needs f32{ScaleShape(weight.Shape, block)}"
                : $"holds scales of '{name}', which is {weight.DType.Name()}{weight.Shape} and no matrix of f8e4m3fn");
        }
    }

    private static ModelPackException Misfit(Tensor tensor, string path, string message) => new(ErrorCodes.Fp8BlockScale, message, path, tensor.Name);
}
