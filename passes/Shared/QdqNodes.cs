using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Makes QuantizeLinear and DequantizeLinear nodes with their scalar constants.</summary>
/// <param name="editor">Takes the constants, gives names.</param>
internal sealed class QdqNodes(GraphEditor editor)
{
    /// <summary>Floats to codes.</summary>
    /// <param name="from">f32 value.</param>
    /// <param name="scale">Width of a step.</param>
    /// <param name="zero">Code of 0.</param>
    /// <param name="to">u8 value.</param>
    public Node Quantize(string from, float scale, int zero, string to) => Make("QuantizeLinear", from, scale, zero, to);

    /// <summary>Codes to floats.</summary>
    /// <param name="from">u8 value.</param>
    /// <param name="scale">Width of a step.</param>
    /// <param name="zero">Code of 0.</param>
    /// <param name="to">f32 value.</param>
    public Node Dequantize(string from, float scale, int zero, string to) => Make("DequantizeLinear", from, scale, zero, to);

    /// <summary>Floats to 8-bit floats.</summary>
    /// <param name="from">f32 value.</param>
    /// <param name="scale">Name of the scale, a scalar.</param>
    /// <param name="type">An 8-bit float type.</param>
    /// <param name="to">Value of that type.</param>
    public Node QuantizeFloat(string from, string scale, DType type, string to)
    {
        string zeroName = editor.UniqueName($"{to}_zero_point");
        editor.AddInitializer(Tensor.Raw(zeroName, type, Shape.Scalar, TensorData.FromBytes(new byte[1])));
        return new Node { Name = $"{to}_QuantizeLinear", OpType = "QuantizeLinear", Inputs = [from, scale, zeroName], Outputs = [to] };
    }

    /// <summary>8-bit floats to floats.</summary>
    /// <param name="from">Value of an 8-bit float type.</param>
    /// <param name="scale">Name of the scale, a scalar.</param>
    /// <param name="to">f32 value.</param>
    public static Node DequantizeFloat(string from, string scale, string to) =>
        new() { Name = $"{to}_DequantizeLinear", OpType = "DequantizeLinear", Inputs = [from, scale], Outputs = [to] };

    private Node Make(string op, string from, float scale, int zero, string to)
    {
        string scaleName = editor.UniqueName($"{to}_scale");
        string zeroName = editor.UniqueName($"{to}_zero_point");
        editor.AddInitializer(SmallConstants.Floats(scaleName, Shape.Scalar, [scale]));
        editor.AddInitializer(Tensor.Raw(zeroName, DType.U8, Shape.Scalar, TensorData.FromBytes(new[] { checked((byte)zero) })));
        return new Node { Name = $"{to}_{op}", OpType = op, Inputs = [from, scaleName, zeroName], Outputs = [to] };
    }
}
