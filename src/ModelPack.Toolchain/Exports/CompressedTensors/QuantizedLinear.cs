using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>A weight of a linear layer as compressed-tensors stores it.</summary>
/// <param name="Format">The layout, for example <c>pack-quantized</c>.</param>
/// <param name="Weights">Arguments of the weights, ready for the configuration.</param>
/// <param name="Activations">Arguments of the activations; null when they stay as they are.</param>
/// <param name="Tensors">The tensors of the layer beside its bias.</param>
/// <param name="Global">The scale of the tensor that fused layers must share; null where there is none.</param>
internal sealed record QuantizedLinear(string Format, JsonObject Weights, JsonObject? Activations, ImmutableArray<Tensor> Tensors, string? Global = null)
{
    private const string Suffix = ".weight";

    /// <summary>What <see cref="Global"/> is stored as.</summary>
    public float Divisor { get; init; }

    /// <summary>Activations have a constant scale.</summary>
    public bool HasInputScale => Activations is not null && Activations["dynamic"]?.GetValue<bool>() == false;

    /// <summary>Layers with the same text belong to one group of the configuration.</summary>
    public string Scheme { get; } = Format + Weights.ToJsonString() + Activations?.ToJsonString();

    /// <summary>
    /// The tensors that hold the same codes and scales as an encoding: nothing is quantised again.
    /// <code>
    /// int4, int8                        pack-quantized; with rounded activations int8(block=row) int-quantized
    /// fp8(element=e4m3fn), per tensor, row or tile     float-quantized; without rounded activations naive-quantized
    /// nvfp4, mxfp4, mxfp8(element=e4m3)                nvfp4-pack-quantized, mxfp4-pack-quantized, mxfp8-quantized
    /// </code>
    /// </summary>
    /// <param name="tensor">A matrix [out, in] named <c>module.weight</c>.</param>
    /// <param name="input">How the input of the layer is rounded; where nothing says whether it is, that of 8-bit floats is.</param>
    /// <param name="reason">Why there are none.</param>
    public static QuantizedLinear? Of(Tensor tensor, RoundedInput input, out string reason)
    {
        (bool? round, float? inputScale) = input;
        if (tensor.Encoding is not DenseEncoding { IsPending: false } dense)
        {
            reason = $"'{tensor.Encoding.Describe()}' is a structure, which compressed-tensors does not have";
            return null;
        }

        string module = tensor.Name[..^Suffix.Length];
        QuantizedLinear? linear = dense.Format.Id switch
        {
            "fp8" => Fp8(dense, module, round ?? true, inputScale, out reason),
            _ when inputScale is not null => None($"'{dense.Format}' with a constant scale of activations is no scheme that runtimes have", out reason),
            "int4" or "int8" => Integers(tensor, dense, module, round ?? false, out reason),
            "nvfp4" => Nvfp4(dense, module, out reason),
            "mxfp4" => Mxfp4(dense, module, out reason),
            "mxfp8" => Mxfp8(dense, module, out reason),
            _ => None($"'{dense.Format}' has no counterpart in compressed-tensors", out reason),
        };
        if (linear is not null && linear.Activations is null && round == true)
        {
            return None($"'{dense.Format}' with rounded activations is no scheme that runtimes have", out reason);
        }

        return linear;
    }

    private static QuantizedLinear? Integers(Tensor tensor, DenseEncoding dense, string module, bool round, out string reason)
    {
        if (StoredIntegers.Of(dense) is not StoredIntegers stored)
        {
            return None($"'{dense.Format}' has zero points or codes of another kind", out reason);
        }

        if (stored.Columns % stored.Block != 0)
        {
            return None($"rows of {stored.Columns} are no whole blocks of {stored.Block}", out reason);
        }

        if (round && (stored.Bits != 8 || !stored.WholeRows || !stored.Symmetric))
        {
            return None($"with rounded activations runtimes have int8(block=row) alone, not '{dense.Format}'", out reason);
        }

        if (Scales(tensor, stored, out reason) is not (DType scaleType, TensorData scales))
        {
            return null;
        }

        Tensor scale = Tensor.Raw($"{module}.weight_scale", scaleType, new Shape(stored.Shape[0], stored.Blocks), scales);
        JsonObject arguments = Arguments("int", stored.Bits, stored.WholeRows ? "channel" : "group", stored.WholeRows ? null : stored.Block, stored.Symmetric);
        if (round)
        {
            Tensor codes = Tensor.Raw($"{module}.weight", DType.I8, stored.Shape, new SignedCodesData(stored.Codes));
            return new QuantizedLinear("int-quantized", arguments, Arguments("int", 8, "token", null, dynamic: true), [codes, scale]);
        }

        const int word = 32;
        long words = (((long)stored.Columns * stored.Bits) + word - 1) / word;
        var tensors = ImmutableArray.CreateBuilder<Tensor>();
        long stride = stored.Codes.LengthBytes / Math.Max(1, stored.Shape[0]);
        TensorData packed = stride == words * 4 ? stored.Codes : new RowData(stored.Shape[0], words * 4, (row, destination) =>
        {
            destination.Clear();
            stored.Codes.Read(row * stride, destination[..(int)stride]);
        });
        tensors.Add(Tensor.Raw($"{module}.weight_packed", DType.I32, new Shape(stored.Shape[0], words), packed));
        tensors.Add(scale);
        tensors.Add(Tensor.Raw($"{module}.weight_shape", DType.I64, new Shape(2), TensorData.FromBytes(Bytes(stored.Shape[0], stored.Shape[1]))));
        if (!stored.Symmetric)
        {
            tensors.Add(Tensor.Raw($"{module}.weight_zero_point", DType.I32, new Shape(((stored.Shape[0] * stored.Bits) + word - 1) / word, stored.Blocks), ZeroPoints(stored)));
        }

        return new QuantizedLinear("pack-quantized", arguments, null, tensors.ToImmutable());
    }

    /// <summary>Zero codes packed along the rows of the weight: a word holds those of 32 / bits rows.</summary>
    private static RowData ZeroPoints(StoredIntegers stored)
    {
        int each = 32 / stored.Bits;
        return new RowData((stored.Shape[0] + each - 1) / each, stored.Blocks * 4L, (word, destination) =>
        {
            destination.Clear();
            byte[] zeros = new byte[stored.Blocks];
            Span<uint> words = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, uint>(destination);
            for (int j = 0; j < each && (word * each) + j < stored.Shape[0]; j++)
            {
                stored.ReadZeros((word * each) + j, zeros);
                for (int b = 0; b < zeros.Length; b++)
                {
                    words[b] |= (uint)zeros[b] << (stored.Bits * j);
                }
            }
        });
    }

    /// <summary>Scales in the type of the model, which loaders convert to without a word.</summary>
    private static (DType, TensorData)? Scales(Tensor tensor, StoredIntegers stored, out string reason)
    {
        reason = "";
        DType model = tensor.DType is DType.BF16 or DType.F16 ? tensor.DType : DType.F32;
        if (stored.ScaleType == model || model == DType.F32)
        {
            return (stored.ScaleType, stored.Scales);
        }

        float[] row = new float[stored.Blocks];
        for (long r = 0; r < stored.Shape[0]; r++)
        {
            stored.ReadScales(r, row);
            if (Array.FindIndex(row, s => Rounded(s, model) != s) is >= 0 and int at)
            {
                reason = string.Create(CultureInfo.InvariantCulture, $"scale {row[at]:R} of row {r}, block {at} is not a {model.Name()} number, as loaders would make it; compile with {tensor.Encoding.Describe().Split('(')[0]}(scale={model.Name()})");
                return null;
            }
        }

        return (model, new RowData(stored.Shape[0], stored.Blocks * 2L, (r, destination) =>
        {
            float[] scales = new float[stored.Blocks];
            stored.ReadScales(r, scales);
            for (int b = 0; b < scales.Length; b++)
            {
                ushort bits = model == DType.F16 ? BitConverter.HalfToUInt16Bits((Half)scales[b]) : (ushort)(BitConverter.SingleToUInt32Bits(scales[b]) >> 16);
                BitConverter.TryWriteBytes(destination[(b * 2)..], bits);
            }
        }));
    }

    private static float Rounded(float value, DType type) => type == DType.F16 ? (float)(Half)value : BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000);

    private static QuantizedLinear? Fp8(DenseEncoding dense, string module, bool round, float? inputScale, out string reason)
    {
        UnitSpec spec = NumberFormats.Bind(dense.Format, dense.Shape).Spec;
        string scope = spec.Text("scope", "row");
        if (spec.Text("element", "e4m3fn") != "e4m3fn" || scope == "block")
        {
            return None($"'{dense.Format}': runtimes have elements e4m3fn with scales per tensor, row or tile", out reason);
        }

        long out_ = dense.Shape[0];
        int block = spec.Int("block", 128, 16, 4096);
        if (scope == "tile" && dense.Shape[1] % block != 0)
        {
            return None($"rows of {dense.Shape[1]} are no whole tiles of {block}", out reason);
        }

        if (scope == "tile" && inputScale is not null)
        {
            return None($"'{dense.Format}' with a constant scale of activations is no scheme that runtimes have", out reason);
        }

        reason = "";
        Shape scaleShape = scope switch
        {
            "tensor" => new Shape(1),
            "row" => new Shape(out_, 1),
            _ => new Shape((out_ + block - 1) / block, dense.Shape[1] / block),
        };
        TensorData scales = scope == "tensor" ? TensorData.FromBytes(BitConverter.GetBytes(float.Parse(spec.Text("scale", "1"), CultureInfo.InvariantCulture))) : dense.Streams[1].Data;
        JsonObject arguments = Arguments("float", 8, scope switch { "tensor" => "tensor", "row" => "channel", _ => "block" }, null);
        JsonObject activations = inputScale is not null ? Arguments("float", 8, "tensor", null)
            : scope == "tile" ? Arguments("float", 8, "group", block, dynamic: true) : Arguments("float", 8, "token", null, dynamic: true);
        if (scope == "tile")
        {
            arguments["block_structure"] = new JsonArray(block, block);
        }

        return new QuantizedLinear(
            round ? "float-quantized" : "naive-quantized",
            arguments,
            round ? activations : null,
            [
                Tensor.Raw($"{module}.weight", DType.F8E4M3FN, dense.Shape, dense.Streams[0].Data),
                Tensor.Raw($"{module}.weight_scale", DType.F32, scaleShape, scales),
                .. inputScale is float input ? [Tensor.Raw($"{module}.input_scale", DType.F32, new Shape(1), TensorData.FromBytes(BitConverter.GetBytes(input)))] : (Tensor[])[],
            ]);
    }

    private static QuantizedLinear? Nvfp4(DenseEncoding dense, string module, out string reason)
    {
        const int group = 16;
        if (!Whole(dense, group, out reason))
        {
            return null;
        }

        // Where the artifact multiplies by the scale of the tensor, compressed-tensors divides by it.
        string global = dense.Format.Text("global", "1");
        float divisor = dense.Format.Arguments.TryGetValue("divisor", out string? stored) ? float.Parse(stored, CultureInfo.InvariantCulture) : 1 / float.Parse(global, CultureInfo.InvariantCulture);
        JsonObject arguments = Arguments("float", 4, "tensor_group", group);
        arguments["scale_dtype"] = "torch.float8_e4m3fn";
        return new QuantizedLinear(
            "nvfp4-pack-quantized",
            arguments,
            null,
            [
                Tensor.Raw($"{module}.weight_packed", DType.U8, new Shape(dense.Shape[0], dense.Shape[1] / 2), dense.Streams[0].Data),
                Tensor.Raw($"{module}.weight_scale", DType.F8E4M3FN, new Shape(dense.Shape[0], dense.Shape[1] / group), dense.Streams[1].Data),
                Tensor.Raw($"{module}.weight_global_scale", DType.F32, new Shape(1), TensorData.FromBytes(BitConverter.GetBytes(divisor))),
            ],
            global)
        {
            Divisor = divisor,
        };
    }

    private static QuantizedLinear? Mxfp4(DenseEncoding dense, string module, out string reason) => Mx(dense, module, 4, "weight_packed", DType.U8, dense.Shape[1] / 2, "mxfp4-pack-quantized", out reason);

    private static QuantizedLinear? Mxfp8(DenseEncoding dense, string module, out string reason) => dense.Format.Text("element", "e4m3") != "e4m3"
        ? None($"'{dense.Format}': runtimes have e4m3 alone", out reason)
        : Mx(dense, module, 8, "weight", DType.F8E4M3FN, dense.Shape[1], "mxfp8-quantized", out reason);

    private static QuantizedLinear? Mx(DenseEncoding dense, string module, int bits, string name, DType dtype, long columns, string format, out string reason)
    {
        const int group = 32;
        if (!Whole(dense, group, out reason))
        {
            return null;
        }

        JsonObject arguments = Arguments("float", bits, "group", group);
        arguments["scale_dtype"] = "torch.uint8";
        return new QuantizedLinear(
            format,
            arguments,
            null,
            [
                Tensor.Raw($"{module}.{name}", dtype, new Shape(dense.Shape[0], columns), dense.Streams[0].Data),
                Tensor.Raw($"{module}.weight_scale", DType.U8, new Shape(dense.Shape[0], dense.Shape[1] / group), dense.Streams[1].Data),
            ]);
    }

    private static bool Whole(DenseEncoding dense, int group, out string reason)
    {
        bool whole = dense.Shape[1] % group == 0;
        reason = whole ? "" : $"rows of {dense.Shape[1]} are no whole blocks of {group}";
        return whole;
    }

    /// <summary>The keys that every version of the loaders knows: others are errors there.</summary>
    private static JsonObject Arguments(string type, int bits, string strategy, int? group, bool symmetric = true, bool dynamic = false) => new()
    {
        ["actorder"] = null,
        ["block_structure"] = null,
        ["dynamic"] = dynamic,
        ["group_size"] = group,
        ["num_bits"] = bits,
        ["observer"] = dynamic ? null : "minmax",
        ["observer_kwargs"] = new JsonObject(),
        ["strategy"] = strategy,
        ["symmetric"] = symmetric,
        ["type"] = type,
    };

    private static byte[] Bytes(params ReadOnlySpan<long> values) => System.Runtime.InteropServices.MemoryMarshal.AsBytes(values).ToArray();

    private static QuantizedLinear? None(string why, out string reason)
    {
        reason = why;
        return null;
    }
}
