using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// Checkpoints of compressed-tensors, module by module:
/// <code>
/// pack-quantized          weight_packed i32 [out, words], weight_scale, weight_shape, weight_zero_point packed down the rows, weight_g_idx    int2 .. int8
/// int-quantized           weight i8 [out, in], weight_scale, weight_zero_point i8                                                            int8
/// float-quantized, naive-quantized    weight f8 [out, in], weight_scale per tensor, row, group or block                                      fp8
/// nvfp4-pack-quantized    weight_packed u8, weight_scale f8, weight_global_scale f32, which divides                                          nvfp4
/// mxfp4-pack-quantized, mxfp8-quantized    weight_packed u8 or weight f8, weight_scale u8                                                    mxfp4, mxfp8
/// </code>
/// </summary>
/// <remarks>Source: vllm-project/compressed-tensors, <c>quantization/quant_args.py</c>, <c>compressors/</c>.</remarks>
internal sealed class CompressedTensorsWeights
{
    private static readonly string[] Parts = [".weight_packed", ".weight_scale", ".weight_shape", ".weight_zero_point", ".weight_g_idx", ".weight_global_scale"];

    private readonly QuantizedTensors _tensors;
    private readonly QuantizationSection _section;
    private readonly ModuleMatcher _ignored;
    private readonly List<(ModuleMatcher Targets, JsonObject Arguments)> _groups = [];

    private CompressedTensorsWeights(QuantizedTensors tensors, QuantizationSection section)
    {
        _tensors = tensors;
        _section = section;
        _ignored = new ModuleMatcher(QuantizationSection.Texts(section.Json["ignore"]));
        foreach ((string name, JsonNode? group) in section.Json["config_groups"] as JsonObject ?? throw section.Wrong("there are no 'config_groups'"))
        {
            if (group?["weights"] is JsonObject arguments)
            {
                _groups.Add((new ModuleMatcher(QuantizationSection.Texts(group["targets"])), arguments));
            }
            else if (group is not JsonObject)
            {
                throw section.Wrong($"'{name}' is not an object");
            }
        }
    }

    public static ImmutableArray<Tensor> Join(QuantizedTensors tensors, QuantizationSection section)
    {
        if (section.Text("quantization_status") is string status and not ("compressed" or "frozen"))
        {
            // Weights that are not compressed are plain numbers.
            return tensors.All.Any(t => Array.Exists(Parts, p => t.Name.EndsWith(p, StringComparison.Ordinal))) ? throw section.Wrong($"'quantization_status' is '{status}', but weights are stored compressed") : tensors.All;
        }

        var reader = new CompressedTensorsWeights(tensors, section);
        foreach (Tensor tensor in tensors.All)
        {
            if (tensor.Name.EndsWith(".weight_packed", StringComparison.Ordinal))
            {
                reader.Packed(tensor, tensor.Name[..^".weight_packed".Length]);
            }
            else if (tensor.Name.EndsWith(".weight", StringComparison.Ordinal) && tensor.DType is DType.I8 or DType.F8E4M3FN)
            {
                reader.Plain(tensor, tensor.Name[..^".weight".Length]);
            }
        }

        return tensors.Result(name => Array.Exists(Parts, p => name.EndsWith(p, StringComparison.Ordinal)));
    }

    /// <summary>The arguments of the weights of a module.</summary>
    private JsonObject Arguments(Tensor tensor, string module)
    {
        if (_ignored.Match(module) is string pattern)
        {
            throw _section.Wrong($"'ignore' lists '{pattern}', but '{tensor.Name}' is quantised");
        }

        int group = _groups.FindIndex(g => g.Targets.Match(module) is not null);
        return group >= 0 ? _groups[group].Arguments : throw _section.Wrong($"no group has '{module}' as a target, but '{tensor.Name}' is quantised");
    }

    private void Packed(Tensor packed, string module)
    {
        JsonObject arguments = Arguments(packed, module);
        Tensor scales = _tensors.Need($"{module}.weight_scale", $"'{packed.Name}'");
        if (packed.DType == DType.U8 && packed.Shape.Rank == 2)
        {
            Fp4(packed, scales, module, arguments);
            return;
        }

        int bits = _section.Int(arguments, "num_bits", null, 2, 3, 4, 5, 6, 7, 8);
        Tensor sizes = _tensors.Need($"{module}.weight_shape", $"'{packed.Name}'");
        long[] size = MemoryMarshal.Cast<byte, long>(_tensors.Data(sizes, DType.I64, new Shape(2)).ToArray()).ToArray();
        if (packed.DType != DType.I32 || packed.Shape.Rank != 2 || size[0] != packed.Shape[0] || size[1] < 1 || size[1] > int.MaxValue)
        {
            throw _tensors.Wrong(packed, $"is {packed.DType.Name()}{packed.Shape}, which is no packed matrix of {size[0]} x {size[1]} values");
        }

        var shape = new Shape(size);
        TensorData words = _tensors.Data(packed, DType.I32, new Shape(shape[0], CodeData.WordBytes(shape[1], bits) / 4));
        TensorData codes = CodeData.Trimmed(words, shape[0], CodeData.WordBytes(shape[1], bits), ((shape[1] * bits) + 7) / 8);
        (int group, int count) = Groups(arguments, shape);
        Tensor? zeros = Zeros(module, arguments);
        TensorData? zeroCodes = zeros is null ? null
            : CodeData.CodesOfColumns(_tensors.Data(zeros, DType.I32, new Shape(CodeData.WordBytes(shape[0], bits) / 4, count)), shape[0], count, bits);
        Tensor? order = _tensors.Find($"{module}.weight_g_idx");
        int[]? groups = order is null ? null : Order(order, shape, group, count);
        Tensor weight = QuantizedTensors.Integers(
            $"{module}.weight", new IntegerParts(shape, bits, group, count, codes, IntegerScales(scales, arguments, shape, count), scales.DType, zeroCodes, groups));
        _tensors.Join(weight, packed, scales, sizes, zeros, order);
    }

    private void Plain(Tensor codes, string module)
    {
        if (codes.Shape.Rank != 2 || !codes.TryGetRawData(out TensorData data))
        {
            return;
        }

        JsonObject arguments = Arguments(codes, module);
        Tensor scales = _tensors.Need($"{module}.weight_scale", $"'{codes.Name}'");
        if (codes.DType == DType.F8E4M3FN)
        {
            _tensors.Join(scales.DType == DType.U8 ? Mx("mxfp8", codes.Name, codes.Shape, data, scales, ("element", "e4m3")) : Fp8(codes, data, scales, arguments), codes, scales);
            return;
        }

        _section.Int(arguments, "num_bits", null, 8, 7, 6, 5, 4, 3, 2);
        (int group, int count) = Groups(arguments, codes.Shape);
        Tensor? zeros = Zeros(module, arguments);
        TensorData? zeroCodes = zeros is null ? null : new SignedCodesData(_tensors.Data(zeros, DType.I8, new Shape(codes.Shape[0], count)));
        Tensor weight = QuantizedTensors.Integers(
            codes.Name, new IntegerParts(codes.Shape, 8, group, count, new SignedCodesData(data), IntegerScales(scales, arguments, codes.Shape, count), scales.DType, zeroCodes, null));
        _tensors.Join(weight, codes, scales, zeros);
    }

    private Tensor? Zeros(string module, JsonObject arguments)
    {
        string name = $"{module}.weight_zero_point";
        return _section.Flag(arguments, "symmetric", true) ? null : _tensors.Need(name, "an asymmetric scheme");
    }

    /// <summary>Inputs that share a scale, and how many of these there are in a row.</summary>
    private (int Group, int Count) Groups(JsonObject arguments, Shape shape)
    {
        int columns = checked((int)shape[1]);
        switch (QuantizationSection.Text(arguments, "strategy"))
        {
            case "tensor" or "channel":
                return (columns, 1);
            case "group":
                int group = _section.Int(arguments, "group_size", null);
                return group > 0 && columns % group == 0 ? (group, columns / group) : throw _section.Wrong($"'group_size' is {group}, which does not divide rows of {columns}");
            default:
                throw _section.Wrong($"'strategy' is {arguments["strategy"]?.ToJsonString() ?? "missing"}, not tensor, channel or group");
        }
    }

    private TensorData IntegerScales(Tensor scales, JsonObject arguments, Shape shape, int count)
    {
        bool one = QuantizationSection.Text(arguments, "strategy") == "tensor";
        return one ? CodeData.Repeated(_tensors.Scales(scales, scales.Shape.Rank == 0 ? Shape.Scalar : new Shape(1)), shape[0]) : _tensors.Scales(scales, new Shape(shape[0], count));
    }

    private int[]? Order(Tensor order, Shape shape, int group, int count)
    {
        int[] groups = DequantizedData.Groups(_tensors.Data(order, DType.I32, new Shape(shape[1])));
        return GptqWeights.Order(_tensors, order, groups, group, count);
    }

    private Tensor Fp8(Tensor codes, TensorData data, Tensor scales, JsonObject arguments)
    {
        long rows = codes.Shape[0];
        long columns = codes.Shape[1];
        UnitSpec Format(string scope, params ReadOnlySpan<(string, string)> more) =>
            new("fp8", [("backoff", "1"), ("element", "e4m3fn"), ("min_amax", "0"), ("rule", "absmax"), ("scope", scope), .. more]);
        Tensor Scaled(UnitSpec format, Shape shape) => QuantizedTensors.Weight(
            codes.Name, scales.DType, codes.Shape, format, new EncodedStream("codes", data), new EncodedStream("scales", CodeData.Widened(_tensors.Scales(scales, shape), scales.DType)));
        switch (QuantizationSection.Text(arguments, "strategy"))
        {
            case "tensor":
                return ModelOptWeights.Fp8(_tensors, codes, data, scales);
            case "channel":
                return Scaled(Format("row"), new Shape(rows, 1));
            case "group" when _section.Int(arguments, "group_size", null) is >= 16 and <= 4096 and int group && group % 16 == 0 && columns % group == 0:
                return Scaled(Format("block", ("block", group.ToString(CultureInfo.InvariantCulture))), new Shape(rows, columns / group));
            case "block" when Structure(arguments) is int edge:
                return Scaled(Format("tile", ("block", edge.ToString(CultureInfo.InvariantCulture))), new Shape((rows + edge - 1) / edge, (columns + edge - 1) / edge));
            default:
                throw _section.Wrong($"'strategy' is {arguments["strategy"]?.ToJsonString() ?? "missing"} with 'group_size' {arguments["group_size"]?.ToJsonString() ?? "null"} and 'block_structure' {arguments["block_structure"]?.ToJsonString() ?? "null"}; FP8 is read per tensor, channel, group of a multiple of 16, and square block");
        }
    }

    /// <summary>The edge of square blocks, a list or a text like <c>128x128</c>.</summary>
    private static int? Structure(JsonObject arguments)
    {
        int[] edges = arguments["block_structure"] switch
        {
            JsonArray list => [.. list.OfType<JsonValue>().Select(v => v.TryGetValue(out int edge) ? edge : 0)],
            JsonValue value when value.TryGetValue(out string? text) => [.. text.Split('x').Select(t => int.TryParse(t, NumberStyles.None, CultureInfo.InvariantCulture, out int edge) ? edge : 0)],
            _ => [],
        };
        return edges is [int down, int across] && down == across && down is >= Fp8BlockWeights.MinBlock and <= Fp8BlockWeights.MaxBlock && down % Fp8BlockWeights.MinBlock == 0 ? down : null;
    }

    private void Fp4(Tensor packed, Tensor scales, string module, JsonObject arguments)
    {
        _section.Int(arguments, "num_bits", null, 4);
        var shape = new Shape(packed.Shape[0], checked(packed.Shape[1] * 2));
        TensorData codes = _tensors.Data(packed, DType.U8, packed.Shape);
        string name = $"{module}.weight";
        if (scales.DType == DType.U8)
        {
            _tensors.Join(Mx("mxfp4", name, shape, codes, scales), packed, scales);
            return;
        }

        Tensor global = _tensors.Need($"{module}.weight_global_scale", $"'{packed.Name}'");
        float divisor = _tensors.Number(global);
        _tensors.Join(ModelOptWeights.Nvfp4(_tensors, name, shape, codes, scales, 1 / divisor, divisor), packed, scales, global);
    }

    private Tensor Mx(string format, string name, Shape shape, TensorData codes, Tensor scales, params ReadOnlySpan<(string, string)> arguments)
    {
        const int group = 32;
        if (shape[1] % group != 0)
        {
            throw _tensors.Wrong(scales, $"belongs to rows of {shape[1]}, which are no whole groups of {group}");
        }

        TensorData exponents = _tensors.Data(scales, DType.U8, new Shape(shape[0], shape[1] / group));
        return QuantizedTensors.Weight(name, DType.BF16, shape, new UnitSpec(format, [("mode", "floor"), .. arguments]), new EncodedStream("codes", codes), new EncodedStream("scales", exponents));
    }
}
