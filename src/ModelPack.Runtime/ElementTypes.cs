using Microsoft.ML.OnnxRuntime.Tensors;

namespace ModelPack.Runtime;

/// <summary>Element types by their three names: ModelPack's, ONNX Runtime's and the number in an ONNX file.</summary>
internal static class ElementTypes
{
    private static readonly (DType DType, TensorElementType Ort, int Onnx)[] Table =
    [
        (DType.F32, TensorElementType.Float, 1),
        (DType.U8, TensorElementType.UInt8, 2),
        (DType.I8, TensorElementType.Int8, 3),
        (DType.U16, TensorElementType.UInt16, 4),
        (DType.I16, TensorElementType.Int16, 5),
        (DType.I32, TensorElementType.Int32, 6),
        (DType.I64, TensorElementType.Int64, 7),
        (DType.String, TensorElementType.String, 8),
        (DType.Bool, TensorElementType.Bool, 9),
        (DType.F16, TensorElementType.Float16, 10),
        (DType.F64, TensorElementType.Double, 11),
        (DType.U32, TensorElementType.UInt32, 12),
        (DType.U64, TensorElementType.UInt64, 13),
        (DType.C64, TensorElementType.Complex64, 14),
        (DType.C128, TensorElementType.Complex128, 15),
        (DType.BF16, TensorElementType.BFloat16, 16),

        // From here on the managed package has no names; only stored weights and casts meet these types.
        (DType.F8E4M3FN, (TensorElementType)17, 17),
        (DType.F8E4M3FNUZ, (TensorElementType)18, 18),
        (DType.F8E5M2, (TensorElementType)19, 19),
        (DType.F8E5M2FNUZ, (TensorElementType)20, 20),
        (DType.U4, (TensorElementType)21, 21),
        (DType.I4, (TensorElementType)22, 22),
        (DType.F4E2M1, (TensorElementType)23, 23),

        // The C interface numbers the newest types differently from the file format.
        (DType.U2, (TensorElementType)24, 25),
        (DType.I2, (TensorElementType)25, 26),
        (DType.F8E8M0, (TensorElementType)26, 24),
    ];

    /// <summary>The dtype, or <see cref="DType.Undefined"/> for a type that ModelPack does not know.</summary>
    internal static DType ToDType(TensorElementType type)
    {
        foreach ((DType dtype, TensorElementType ort, _) in Table)
        {
            if (ort == type)
            {
                return dtype;
            }
        }

        return DType.Undefined;
    }

    /// <summary>ONNX Runtime's name; <see cref="TensorElementType.DataTypeMax"/> for types it does not have.</summary>
    internal static TensorElementType ToOrt(DType type)
    {
        foreach ((DType dtype, TensorElementType ort, _) in Table)
        {
            if (dtype == type)
            {
                return ort;
            }
        }

        return TensorElementType.DataTypeMax;
    }

    /// <summary>The number in <c>TensorProto.DataType</c>; 0 for types ONNX does not have.</summary>
    internal static int ToOnnx(DType type)
    {
        foreach ((DType dtype, _, int onnx) in Table)
        {
            if (dtype == type)
            {
                return onnx;
            }
        }

        return 0;
    }

    /// <summary>The dtype of a number in <c>TensorProto.DataType</c>, or <see cref="DType.Undefined"/>.</summary>
    internal static DType FromOnnx(int type)
    {
        foreach ((DType dtype, _, int onnx) in Table)
        {
            if (onnx == type)
            {
                return dtype;
            }
        }

        return DType.Undefined;
    }
}
