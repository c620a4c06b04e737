using Types = ModelPack.Containers.Onnx.Schema.TensorProto.Types.DataType;

namespace ModelPack.Containers.Onnx;

/// <summary>ONNX data type numbers and the typed field that may hold each.</summary>
internal static class OnnxDTypes
{
    private static readonly DType[] Table = Build();

    /// <summary>The dtype of a <c>TensorProto.DataType</c> number; <see cref="DType.Undefined"/> for 0 and for unknown numbers.</summary>
    public static DType FromNumber(int number) => number > 0 && number < Table.Length ? Table[number] : DType.Undefined;

    /// <summary>The ONNX number, or 0 where ONNX has no such type.</summary>
    public static int ToNumber(DType dtype) => Math.Max(0, Array.IndexOf(Table, dtype));

    /// <summary>Lowest IR version that knows the dtype.</summary>
    public static long MinIrVersion(DType dtype) => dtype switch
    {
        DType.BF16 => 4,
        DType.F8E4M3FN or DType.F8E4M3FNUZ or DType.F8E5M2 or DType.F8E5M2FNUZ => 9,
        DType.U4 or DType.I4 => 10,
        DType.F4E2M1 => 11,
        DType.F8E8M0 => 12,
        DType.U2 or DType.I2 => 13,
        _ => 1,
    };

    /// <summary>The data field that holds the elements when they are not in raw_data.</summary>
    public static int TypedField(DType dtype) => dtype switch
    {
        DType.F32 or DType.C64 => OnnxSchema.FloatData,
        DType.F64 or DType.C128 => OnnxSchema.DoubleData,
        DType.I64 => OnnxSchema.Int64Data,
        DType.U64 or DType.U32 => OnnxSchema.UInt64Data,
        DType.String => OnnxSchema.StringData,
        _ => OnnxSchema.Int32Data,
    };

    /// <summary>Bytes of the dense form that one entry of <see cref="TypedField"/> gives: for sub-byte types one byte, that is several elements.</summary>
    public static int TypedEntryBytes(DType dtype) => dtype switch
    {
        DType.C64 => 4,
        DType.C128 => 8,
        _ => Math.Max(1, dtype.BitsPerElement() / 8),
    };

    private static DType[] Build()
    {
        var table = new DType[(int)Types.Int2 + 1];
        table[(int)Types.Float] = DType.F32;
        table[(int)Types.Uint8] = DType.U8;
        table[(int)Types.Int8] = DType.I8;
        table[(int)Types.Uint16] = DType.U16;
        table[(int)Types.Int16] = DType.I16;
        table[(int)Types.Int32] = DType.I32;
        table[(int)Types.Int64] = DType.I64;
        table[(int)Types.String] = DType.String;
        table[(int)Types.Bool] = DType.Bool;
        table[(int)Types.Float16] = DType.F16;
        table[(int)Types.Double] = DType.F64;
        table[(int)Types.Uint32] = DType.U32;
        table[(int)Types.Uint64] = DType.U64;
        table[(int)Types.Complex64] = DType.C64;
        table[(int)Types.Complex128] = DType.C128;
        table[(int)Types.Bfloat16] = DType.BF16;
        table[(int)Types.Float8E4M3Fn] = DType.F8E4M3FN;
        table[(int)Types.Float8E4M3Fnuz] = DType.F8E4M3FNUZ;
        table[(int)Types.Float8E5M2] = DType.F8E5M2;
        table[(int)Types.Float8E5M2Fnuz] = DType.F8E5M2FNUZ;
        table[(int)Types.Uint4] = DType.U4;
        table[(int)Types.Int4] = DType.I4;
        table[(int)Types.Float4E2M1] = DType.F4E2M1;
        table[(int)Types.Float8E8M0] = DType.F8E8M0;
        table[(int)Types.Uint2] = DType.U2;
        table[(int)Types.Int2] = DType.I2;
        return table;
    }
}
