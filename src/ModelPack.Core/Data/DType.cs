namespace ModelPack;

/// <summary>
/// Element types of tensors as stored in model files: the union of ONNX <c>TensorProto.DataType</c> (to INT2 = 26) and
/// the safetensors dtypes. Names are the published ones; the numbers are ModelPack's own and are never written to a file.
/// </summary>
public enum DType : byte
{
    /// <summary>No element type: an absent or unknown type.</summary>
    Undefined = 0,
    F64, F32, F16, BF16,
    F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0,
    F6E2M3, F6E3M2, F4E2M1,
    I64, I32, I16, I8, I4, I2,
    U64, U32, U16, U8, U4, U2,
    Bool, C64, C128,

    /// <summary>Variable-length UTF-8 strings (ONNX only). See <see cref="DTypes"/> for the byte form.</summary>
    String,
}
