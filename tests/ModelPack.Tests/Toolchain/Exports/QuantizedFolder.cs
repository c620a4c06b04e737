using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>
/// A checkpoint as other tools write it: seeded codes, scales and zero points in the published layout of each, and the values they stand for, both from plain loops. Everything but the projections stays bf16.
/// </summary>
internal sealed class QuantizedFolder : IDisposable
{
    private static readonly Lazy<RandomCheckpoint> Plain = new(() =>
    {
        using var plain = new ExportCase();
        return plain.Checkpoint;
    });

    private readonly TempFolder _folder = new();
    private readonly SplitMix _random = new(7);
    private readonly string _scheme;

    public QuantizedFolder(string scheme, Action<QuantizedFolder>? change = null)
    {
        _scheme = scheme;
        Config = (JsonObject)Plain.Value.Config.DeepClone();
        Dense = new RandomCheckpoint((JsonObject)Config.DeepClone()) { DType = DType.F32 };
        foreach ((string name, (long[] shape, float[] values)) in Plain.Value.Tensors)
        {
            if (name.Contains("_proj", StringComparison.Ordinal))
            {
                float[] meant = Quantize(name[..^".weight".Length], (int)shape[0], (int)shape[1]);
                Dense.Tensors[name] = (shape, meant);
                continue;
            }

            Add(name, "BF16", shape, [.. values.SelectMany(Bf16)]);
            Dense.Tensors[name] = (shape, values);
        }

        Config["quantization_config"] = JsonNode.Parse(Declaration(scheme));
        change?.Invoke(this);
        Write();
    }

    /// <summary>Names, types, shapes and bytes, in the order they are written.</summary>
    public SortedDictionary<string, (string Type, long[] Shape, byte[] Bytes)> Tensors { get; } = new(StringComparer.Ordinal);

    public JsonObject Config { get; }

    /// <summary>The same model with the values that the codes stand for, as plain f32.</summary>
    public RandomCheckpoint Dense { get; }

    public string Path => _folder["quantized"];

    /// <summary>The folder of <see cref="Dense"/>, written when it is asked for.</summary>
    public string DensePath => Dense.Write(_folder, "dense");

    public string this[string name] => _folder[name];

    public void Dispose() => _folder.Dispose();

    /// <summary>Word w of a tensor of 32-bit words.</summary>
    public void SetWord(string name, int w, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Tensors[name].Bytes.AsSpan(w * 4), value);

    private static string Declaration(string scheme)
    {
        static string CompressedTensors(string format, string weights, string activations = "null") =>
            $$$"""{"quant_method":"compressed-tensors","format":"{{{format}}}","quantization_status":"compressed","ignore":["lm_head"],"config_groups":{"group_0":{"targets":["Linear"],"weights":{{{weights}}},"input_activations":{{{activations}}} } } }""";
        return scheme switch
        {
            "W4A16" => CompressedTensors("pack-quantized", """{"num_bits":4,"type":"int","strategy":"group","group_size":128,"symmetric":true}"""),
            "W4A16 asymmetric" => CompressedTensors("pack-quantized", """{"num_bits":4,"type":"int","strategy":"group","group_size":32,"symmetric":false}"""),
            "W4A16 order" => CompressedTensors("pack-quantized", """{"num_bits":4,"type":"int","strategy":"group","group_size":64,"symmetric":true,"actorder":"group"}"""),
            "W8A16" => CompressedTensors("pack-quantized", """{"num_bits":8,"type":"int","strategy":"channel","symmetric":true}"""),
            "W3A16" => CompressedTensors("pack-quantized", """{"num_bits":3,"type":"int","strategy":"group","group_size":64,"symmetric":false}"""),
            "W8A8" => CompressedTensors("int-quantized", """{"num_bits":8,"type":"int","strategy":"channel","symmetric":true}""", """{"num_bits":8,"type":"int","strategy":"token","symmetric":true,"dynamic":true}"""),
            "W8A8 asymmetric" => CompressedTensors("int-quantized", """{"num_bits":8,"type":"int","strategy":"tensor","symmetric":false}"""),
            "FP8 tensor" => CompressedTensors("float-quantized", """{"num_bits":8,"type":"float","strategy":"tensor","symmetric":true}""", """{"num_bits":8,"type":"float","strategy":"tensor","symmetric":true,"dynamic":false}"""),
            "FP8 channel" => CompressedTensors("float-quantized", """{"num_bits":8,"type":"float","strategy":"channel","symmetric":true}""", """{"num_bits":8,"type":"float","strategy":"token","symmetric":true,"dynamic":true}"""),
            "FP8 block" => CompressedTensors("float-quantized", """{"num_bits":8,"type":"float","strategy":"block","block_structure":[128,128],"symmetric":true}""", """{"num_bits":8,"type":"float","strategy":"group","group_size":128,"symmetric":true,"dynamic":true}"""),
            "NVFP4" => CompressedTensors("nvfp4-pack-quantized", """{"num_bits":4,"type":"float","strategy":"tensor_group","group_size":16,"symmetric":true}"""),
            "MXFP4" => CompressedTensors("mxfp4-pack-quantized", """{"num_bits":4,"type":"float","strategy":"group","group_size":32,"symmetric":true}"""),
            "GPTQ" => """{"quant_method":"gptq","bits":4,"group_size":128,"sym":true,"desc_act":false,"checkpoint_format":"gptq"}""",
            "GPTQ v2 asymmetric" => """{"quant_method":"gptq","bits":4,"group_size":64,"sym":false,"desc_act":false,"checkpoint_format":"gptq_v2"}""",
            "GPTQ asymmetric" => """{"quant_method":"gptq","bits":8,"group_size":-1,"sym":false,"desc_act":false}""",
            "GPTQ 3 bits" => """{"quant_method":"gptq","bits":3,"group_size":32,"sym":false,"desc_act":false}""",
            "GPTQ order" => """{"quant_method":"gptq","bits":4,"group_size":64,"sym":true,"desc_act":true}""",
            "AWQ" => """{"quant_method":"awq","bits":4,"group_size":128,"zero_point":true,"version":"gemm"}""",
            "ModelOpt NVFP4" => """{"quant_method":"modelopt","quant_algo":"NVFP4"}""",
            "fp8" => """{"quant_method":"fp8","activation_scheme":"static"}""",
            "fp8 blocks" => """{"quant_method":"fp8","fmt":"e4m3","activation_scheme":"dynamic","weight_block_size":[128,128]}""",
            _ => throw new ArgumentException(scheme),
        };
    }

    private float[] Quantize(string module, int rows, int columns)
    {
        switch (_scheme)
        {
            case "W4A16": return Packed(module, rows, columns, 4, 128, true);
            case "W4A16 asymmetric": return Packed(module, rows, columns, 4, 32, false);
            case "W4A16 order": return Packed(module, rows, columns, 4, 64, true, Shuffled(columns, 64));
            case "W8A16": return Packed(module, rows, columns, 8, columns, true);
            case "W3A16": return Packed(module, rows, columns, 3, 64, false);
            case "W8A8": return Signed(module, rows, columns, perTensor: false, symmetric: true);
            case "W8A8 asymmetric": return Signed(module, rows, columns, perTensor: true, symmetric: false);
            case "FP8 tensor": return Float8(module, rows, columns, rows, columns, "weight_scale", "F32", [1], input: true);
            case "FP8 channel": return Float8(module, rows, columns, 1, columns, "weight_scale", "BF16", [rows, 1]);
            case "FP8 block": return Float8(module, rows, columns, 128, 128, "weight_scale", "BF16", [(rows + 127) / 128, columns / 128]);
            case "fp8": return Float8(module, rows, columns, rows, columns, "weight_scale", "F32", [], input: true);
            case "fp8 blocks": return Float8(module, rows, columns, 128, 128, "weight_scale_inv", "F32", [(rows + 127) / 128, columns / 128]);
            case "NVFP4": return Float4(module, rows, columns, 16, "weight_packed");
            case "ModelOpt NVFP4": return Float4(module, rows, columns, 16, "weight");
            case "MXFP4": return Float4(module, rows, columns, 32, "weight_packed");
            case "GPTQ": return Gptq(module, rows, columns, 4, 128, true, 1, null);
            case "GPTQ v2 asymmetric": return Gptq(module, rows, columns, 4, 64, false, 0, null);
            case "GPTQ asymmetric": return Gptq(module, rows, columns, 8, columns, false, 1, null);
            case "GPTQ 3 bits": return Gptq(module, rows, columns, 3, 32, false, 1, null);
            case "GPTQ order": return Gptq(module, rows, columns, 4, 64, true, 1, Shuffled(columns, 64));
            default: return Awq(module, rows, columns, 128);
        }
    }

    private float[] Packed(string module, int rows, int columns, int bits, int group, bool symmetric, int[]? order = null)
    {
        int groups = columns / group;
        int[,] codes = Codes(rows, columns, 1 << bits);
        int[,] zeros = symmetric ? Constant(rows, groups, 1 << (bits - 1)) : Codes(rows, groups, 1 << bits);
        float[,] scales = Scales(rows, groups, Bf16Value);
        Add($"{module}.weight_packed", "I32", [rows, ((columns * bits) + 31) / 32], PackRows(codes, bits));
        Add($"{module}.weight_scale", "BF16", [rows, groups], Flat(scales, Bf16));
        Add($"{module}.weight_shape", "I64", [2], [.. BitConverter.GetBytes((long)rows), .. BitConverter.GetBytes((long)columns)]);
        if (!symmetric)
        {
            // Down the rows: the transposed matrix, packed by rows, and turned back word by word.
            byte[] turned = PackRows(Transposed(zeros), bits);
            int words = ((rows * bits) + 31) / 32;
            byte[] down = new byte[turned.Length];
            for (int g = 0; g < groups; g++)
            {
                for (int w = 0; w < words; w++)
                {
                    turned.AsSpan(((g * words) + w) * 4, 4).CopyTo(down.AsSpan(((w * groups) + g) * 4));
                }
            }

            Add($"{module}.weight_zero_point", "I32", [words, groups], down);
        }

        if (order is not null)
        {
            Add($"{module}.weight_g_idx", "I32", [columns], [.. order.SelectMany(BitConverter.GetBytes)]);
        }

        return Meant(codes, zeros, scales, k => order?[k] ?? k / group);
    }

    private float[] Signed(string module, int rows, int columns, bool perTensor, bool symmetric)
    {
        int[,] codes = Codes(rows, columns, 256);
        int zero = symmetric ? 128 : 128 + 17;
        float[,] scales = Scales(perTensor ? 1 : rows, 1, Bf16Value);
        Add($"{module}.weight", "I8", [rows, columns], [.. codes.Cast<int>().Select(c => (byte)(sbyte)(c - 128))]);
        Add($"{module}.weight_scale", "BF16", perTensor ? [1] : [rows, 1], Flat(scales, Bf16));
        if (!symmetric)
        {
            Add($"{module}.weight_zero_point", "I8", [rows, 1], [.. Enumerable.Repeat((byte)17, rows)]);
        }

        float[,] all = new float[rows, 1];
        for (int n = 0; n < rows; n++)
        {
            all[n, 0] = scales[perTensor ? 0 : n, 0];
        }

        return Meant(codes, Constant(rows, 1, zero), all, _ => 0);
    }

    private float[] Float8(string module, int rows, int columns, int down, int across, string scaleName, string type, long[] shape, bool input = false)
    {
        byte[] codes = [.. Enumerable.Range(0, rows * columns).Select(_ => (byte)_random.Below(256)).Select(c => (c & 0x7F) == 0x7F ? (byte)0x11 : c)];
        int wide = (columns + across - 1) / across;
        float[,] scales = Scales((rows + down - 1) / down, wide, type == "F32" ? v => v : Bf16Value, 0.0008);
        Add($"{module}.weight", "F8_E4M3", [rows, columns], codes);
        Add($"{module}.{scaleName}", type, shape, Flat(scales, type == "F32" ? BitConverter.GetBytes : Bf16));
        if (input)
        {
            Add($"{module}.input_scale", "F32", shape, BitConverter.GetBytes(0.03125f));
        }

        return [.. codes.Select((c, i) => PlainSafetensors.E4M3(c) * scales[i / columns / down, i % columns / across])];
    }

    private float[] Float4(string module, int rows, int columns, int group, string name)
    {
        int[,] codes = Codes(rows, columns, 16);
        byte[] packed = [.. Enumerable.Range(0, rows * columns / 2).Select(i => (byte)(codes[i * 2 / columns, i * 2 % columns] | (codes[i * 2 / columns, (i * 2 % columns) + 1] << 4)))];
        Add($"{module}.{name}", "U8", [rows, columns / 2], packed);
        bool mx = group == 32;
        byte[] scales = [.. Enumerable.Range(0, rows * columns / group).Select(_ => mx ? (byte)(119 + _random.Below(5)) : (byte)(0x30 + _random.Below(32)))];
        Add($"{module}.weight_scale", mx ? "U8" : "F8_E4M3", [rows, columns / group], scales);
        // The reciprocal of this divisor has no f32 whose reciprocal it is.
        float divisor = name == "weight" ? 1f / 0.0371f : 55.000015f;
        if (!mx)
        {
            Add($"{module}.{(name == "weight" ? "weight_scale_2" : "weight_global_scale")}", "F32", name == "weight" ? [] : [1], BitConverter.GetBytes(name == "weight" ? 0.0371f : divisor));
        }

        float Scale(byte code) => mx ? MathF.Pow(2, code - 127) : PlainSafetensors.E4M3(code) / divisor;
        return [.. Enumerable.Range(0, rows * columns).Select(i => PlainSafetensors.E2M1(codes[i / columns, i % columns]) * Scale(scales[i / group]))];
    }

    private float[] Gptq(string module, int rows, int columns, int bits, int group, bool symmetric, int less, int[]? order)
    {
        int groups = columns / group;
        int[,] codes = Codes(rows, columns, 1 << bits);
        // Zero points from 1 on: 0 has no clear form in the first version.
        int[,] zeros = symmetric ? Constant(rows, groups, 1 << (bits - 1)) : Codes(rows, groups, (1 << bits) - less, less);
        float[,] scales = Scales(rows, groups, v => (float)(Half)v);
        byte[] turned = PackRows(codes, bits);
        int words = columns * bits / 32;
        byte[] qweight = new byte[turned.Length];
        for (int n = 0; n < rows; n++)
        {
            for (int w = 0; w < words; w++)
            {
                turned.AsSpan(((n * words) + w) * 4, 4).CopyTo(qweight.AsSpan(((w * rows) + n) * 4));
            }
        }

        int[,] stored = Transposed(zeros);
        for (int i = 0; i < stored.Length; i++)
        {
            stored[i / rows, i % rows] -= less;
        }

        Add($"{module}.qweight", "I32", [words, rows], qweight);
        Add($"{module}.qzeros", "I32", [groups, ((rows * bits) + 31) / 32], PackRows(stored, bits));
        Add($"{module}.scales", "F16", [groups, rows], Flat(Transposed(scales), v => BitConverter.GetBytes((Half)v)));
        Add($"{module}.g_idx", "I32", [columns], [.. (order ?? [.. Enumerable.Range(0, columns).Select(k => k / group)]).SelectMany(BitConverter.GetBytes)]);
        return Meant(codes, zeros, scales, k => order?[k] ?? k / group);
    }

    private float[] Awq(string module, int rows, int columns, int group)
    {
        int groups = columns / group;
        int[,] codes = Codes(rows, columns, 16);
        int[,] zeros = Codes(rows, groups, 16);
        float[,] scales = Scales(rows, groups, v => (float)(Half)v);
        Add($"{module}.qweight", "I32", [columns, rows / 8], PackAwq(codes));
        Add($"{module}.qzeros", "I32", [groups, rows / 8], PackAwq(zeros));
        Add($"{module}.scales", "F16", [groups, rows], Flat(Transposed(scales), v => BitConverter.GetBytes((Half)v)));
        return Meant(codes, zeros, scales, k => k / group);
    }

    /// <summary>Nibble i of a word holds column order[i].</summary>
    private static byte[] PackAwq(int[,] codes)
    {
        int[] order = [0, 2, 4, 6, 1, 3, 5, 7];
        var words = new List<byte>();
        for (int k = 0; k < codes.GetLength(1); k++)
        {
            for (int c = 0; c < codes.GetLength(0) / 8; c++)
            {
                uint word = 0;
                for (int i = 0; i < 8; i++)
                {
                    word |= (uint)codes[(c * 8) + order[i], k] << (4 * i);
                }

                words.AddRange(BitConverter.GetBytes(word));
            }
        }

        return [.. words];
    }

    /// <summary>Every row as a stream of bits, in whole words.</summary>
    private static byte[] PackRows(int[,] codes, int bits)
    {
        int rowBytes = ((codes.GetLength(1) * bits) + 31) / 32 * 4;
        byte[] packed = new byte[codes.GetLength(0) * rowBytes];
        for (int r = 0; r < codes.GetLength(0); r++)
        {
            for (int i = 0; i < codes.GetLength(1) * bits; i++)
            {
                if ((codes[r, i / bits] >> (i % bits) & 1) != 0)
                {
                    packed[(r * rowBytes) + (i / 8)] |= (byte)(1 << (i % 8));
                }
            }
        }

        return packed;
    }

    private static float[] Meant(int[,] codes, int[,] zeros, float[,] scales, Func<int, int> group)
    {
        int columns = codes.GetLength(1);
        return [.. Enumerable.Range(0, codes.Length).Select(i => (codes[i / columns, i % columns] - zeros[i / columns, group(i % columns)]) * scales[i / columns, group(i % columns)])];
    }

    private int[] Shuffled(int columns, int group)
    {
        int[] order = [.. Enumerable.Range(0, columns).Select(k => k / group)];
        for (int i = columns - 1; i > 0; i--)
        {
            int j = _random.Below(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }

    private int[,] Codes(int rows, int columns, int end, int first = 0)
    {
        int[,] codes = new int[rows, columns];
        for (int i = 0; i < codes.Length; i++)
        {
            codes[i / columns, i % columns] = first + _random.Below(end - first);
        }

        return codes;
    }

    private float[,] Scales(int rows, int columns, Func<float, float> round, double size = 0.02)
    {
        float[,] scales = new float[rows, columns];
        for (int i = 0; i < scales.Length; i++)
        {
            scales[i / columns, i % columns] = round((float)(size * (1 + (_random.Below(1000) / 1000.0))));
        }

        return scales;
    }

    private static int[,] Constant(int rows, int columns, int value)
    {
        int[,] all = new int[rows, columns];
        for (int i = 0; i < all.Length; i++)
        {
            all[i / columns, i % columns] = value;
        }

        return all;
    }

    private static T[,] Transposed<T>(T[,] matrix)
    {
        var turned = new T[matrix.GetLength(1), matrix.GetLength(0)];
        for (int i = 0; i < matrix.Length; i++)
        {
            turned[i % matrix.GetLength(1), i / matrix.GetLength(1)] = matrix[i / matrix.GetLength(1), i % matrix.GetLength(1)];
        }

        return turned;
    }

    private static byte[] Flat(float[,] values, Func<float, byte[]> bytes) => [.. values.Cast<float>().SelectMany(bytes)];

    private static byte[] Bf16(float value) => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16));

    private static float Bf16Value(float value) => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000);

    private void Add(string name, string type, long[] shape, byte[] bytes) => Tensors[name] = (type, shape, bytes);

    private void Write()
    {
        var header = new JsonObject();
        using var data = new MemoryStream();
        foreach ((string name, (string type, long[] shape, byte[] bytes)) in Tensors)
        {
            header[name] = new JsonObject
            {
                ["dtype"] = type,
                ["shape"] = new JsonArray([.. shape.Select(d => (JsonNode)d)]),
                ["data_offsets"] = new JsonArray(data.Length, data.Length + bytes.Length),
            };
            data.Write(bytes);
        }

        byte[] text = Encoding.UTF8.GetBytes(header.ToJsonString());
        _folder.Write("quantized/model.safetensors", [.. BitConverter.GetBytes((long)text.Length), .. text, .. data.ToArray()]);
        _folder.Write("quantized/config.json", Config.ToJsonString());
        _folder.Write("quantized/tokenizer.json", ExportCase.Tokenizer);
    }
}
