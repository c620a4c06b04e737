using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// The bias of a node on integers: 32-bit integers in units of input scale times weight scale, as its sums are:
/// <code>
/// b [N] f32   =>  DequantizeLinear(round(b / (sx * sw)) [N] i32, sx * sw [N], zeros [N]; axis = 0)
/// </code>
/// </summary>
internal static class IntegerBias
{
    /// <summary>The node and the name of its result; null where there is no bias, or it cannot be brought into that form.</summary>
    public static (Node Dequantize, string Result)? Of(Node node, BlockWeight weight, PlanContext context)
    {
        string name = node.Input(2);
        if (name.Length == 0 || context.Index.Producer(node.Inputs[0]) is not Node input || context.Index.Constant(name) is not { DType: DType.F32, Shape.Rank: 1 } bias || bias.Shape[0] != weight.Rows
            || Floats(bias) is not float[] values || Floats(context.Index.Constant(input.Input(1))) is not [float inputScale] || Scales(weight) is not float[] weightScales)
        {
            return null;
        }

        byte[] codes = new byte[values.Length * sizeof(int)];
        float[] scales = new float[values.Length];
        for (int n = 0; n < values.Length; n++)
        {
            scales[n] = inputScale * weightScales[n];
            double code = Math.Round((double)values[n] / scales[n]);
            if (!(Math.Abs(code) < int.MaxValue))
            {
                return null;
            }

            BinaryPrimitives.WriteInt32LittleEndian(codes.AsSpan(n * sizeof(int)), (int)code);
        }

        context.Lowered.Add(name);
        string codesName = GraphValueNames.Fresh(context.Names, $"{name}_quantized");
        string scalesName = GraphValueNames.Fresh(context.Names, $"{name}_scales");
        string zerosName = GraphValueNames.Fresh(context.Names, $"{name}_zeros");
        string result = GraphValueNames.Fresh(context.Names, $"{name}_dequantized");
        context.Constants.Add(Tensor.Raw(codesName, DType.I32, bias.Shape, TensorData.FromBytes(codes)));
        context.Constants.Add(Tensor.Raw(scalesName, DType.F32, bias.Shape, TensorData.FromBytes(MemoryMarshal.AsBytes(scales.AsSpan()).ToArray())));
        context.Constants.Add(Tensor.Raw(zerosName, DType.I32, bias.Shape, TensorData.FromBytes(new byte[codes.Length])));
        var dequantize = new Node
        {
            Name = $"{result}_DequantizeLinear",
            OpType = "DequantizeLinear",
            Inputs = [codesName, scalesName, zerosName],
            Outputs = [result],
            Attributes = [new NodeAttribute("axis", new AttributeValue.Int(0))],
        };
        return (dequantize, result);
    }

    private static float[]? Floats(Tensor? tensor) =>
        tensor is { DType: DType.F32 } && tensor.TryGetRawData(out TensorData data) ? MemoryMarshal.Cast<byte, float>(data.ToArray()).ToArray() : null;

    /// <summary>[N] scales of the rows; null while they are not known, that is before the weight is encoded.</summary>
    private static float[]? Scales(BlockWeight weight)
    {
        TensorData? stored = weight.Encoding.Streams.FirstOrDefault(s => s.Role == "scales")?.Data;
        TensorData? wide = stored is null || stored.LengthBytes == weight.Rows * sizeof(float) ? stored : new WidenedScales(stored, weight.Encoding.Format.Text("scale", "f32"));
        return wide is null ? null : MemoryMarshal.Cast<byte, float>(wide.ToArray()).ToArray();
    }
}
