namespace ModelPack.Codecs;

/// <summary>How the elements of a type are taken apart into byte planes.</summary>
internal static class ElementPlanes
{
    /// <summary>Bytes of an element and bits of its exponent, by which the sign moves down so that the exponent stands first; no exponent for integers, no width for types that are not 2, 4 or 8 bytes wide.</summary>
    public static (int Width, int ExponentBits) Of(DType elementType) => elementType switch
    {
        DType.BF16 => (2, 8),
        DType.F16 => (2, 5),
        DType.F32 or DType.C64 => (4, 8),
        DType.F64 or DType.C128 => (8, 11),
        DType.I16 or DType.U16 => (2, 0),
        DType.I32 or DType.U32 => (4, 0),
        DType.I64 or DType.U64 => (8, 0),
        _ => (0, 0),
    };
}
