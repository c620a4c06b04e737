namespace ModelPack.Compiler;

/// <summary>The numbers that ONNX gives to element types (TensorProto.DataType), as they appear in attributes such as Cast's <c>to</c>.</summary>
public static class OnnxTypes
{
    private static readonly DType[] ByNumber =
    [
        DType.Undefined, DType.F32, DType.U8, DType.I8, DType.U16, DType.I16, DType.I32, DType.I64, DType.String, DType.Bool,
        DType.F16, DType.F64, DType.U32, DType.U64, DType.C64, DType.C128, DType.BF16, DType.F8E4M3FN, DType.F8E4M3FNUZ, DType.F8E5M2,
        DType.F8E5M2FNUZ, DType.U4, DType.I4, DType.F4E2M1, DType.F8E8M0, DType.U2, DType.I2,
    ];

    /// <summary>The type of that number; undefined for numbers of other schema versions.</summary>
    public static DType FromNumber(long number) => number >= 0 && number < ByNumber.Length ? ByNumber[number] : DType.Undefined;
}
