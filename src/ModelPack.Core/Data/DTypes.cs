namespace ModelPack;

/// <summary>Facts about <see cref="DType"/> values: width, canonical lower-case name, storage size.</summary>
/// <remarks>
/// Sub-byte types are packed densely over the flattened tensor, first element in the lowest bits (ONNX and safetensors agree).
/// <see cref="DType.String"/> tensors are kept as, per element, a little-endian u32 length followed by that many UTF-8 bytes.
/// </remarks>
public static class DTypes
{
    private readonly record struct Facts(string Name, int Bits, bool IsFloat, bool IsInteger);

    private static readonly Facts[] Table = BuildTable();

    /// <summary>All defined dtypes in declaration order, without <see cref="DType.Undefined"/>.</summary>
    public static IReadOnlyList<DType> All { get; } = ListAll();

    /// <summary>Bits per element; 0 for <see cref="DType.String"/> and <see cref="DType.Undefined"/>.</summary>
    public static int BitsPerElement(this DType dtype) => Table[(int)dtype].Bits;

    /// <summary>Canonical lower-case name, for example <c>bf16</c> or <c>f8e4m3fn</c>: also the name of the raw number format.</summary>
    public static string Name(this DType dtype) => Table[(int)dtype].Name;

    /// <summary>True for every floating-point type, including E8M0 and complex-free small floats.</summary>
    public static bool IsFloat(this DType dtype) => Table[(int)dtype].IsFloat;

    /// <summary>True for signed and unsigned integers (not <see cref="DType.Bool"/>).</summary>
    public static bool IsInteger(this DType dtype) => Table[(int)dtype].IsInteger;

    /// <summary>True when the number of bytes follows from the number of elements.</summary>
    public static bool HasFixedWidth(this DType dtype) => Table[(int)dtype].Bits > 0;

    /// <summary>Bytes that <paramref name="elements"/> elements take, packed densely and rounded up to whole bytes.</summary>
    /// <returns>False when the type has no fixed width or the size does not fit in 63 bits.</returns>
    public static bool TryStorageBytes(this DType dtype, long elements, out long bytes)
    {
        // Eight elements are as many bytes as an element has bits.
        long high = Math.BigMul(elements >> 3, dtype.BitsPerElement(), out long whole);
        long rest = (((elements & 7) * dtype.BitsPerElement()) + 7) / 8;
        bool ok = dtype.HasFixedWidth() && elements >= 0 && high == 0 && whole >= 0 && whole <= long.MaxValue - rest;
        bytes = ok ? whole + rest : 0;
        return ok;
    }

    /// <summary>As <see cref="TryStorageBytes"/>, for sizes already validated.</summary>
    /// <exception cref="OverflowException">The size is not representable or the type has no fixed width.</exception>
    public static long StorageBytes(this DType dtype, long elements) =>
        dtype.TryStorageBytes(elements, out long bytes)
            ? bytes
            : throw new OverflowException($"{elements} elements of {dtype.Name()} have no storage size");

    /// <summary>Finds a dtype by its canonical name (ordinal).</summary>
    public static bool TryParse(string name, out DType dtype)
    {
        for (int i = 1; i < Table.Length; i++)
        {
            if (Table[i].Name == name)
            {
                dtype = (DType)i;
                return true;
            }
        }

        dtype = DType.Undefined;
        return false;
    }

    private static DType[] ListAll()
    {
        var all = new DType[Table.Length - 1];
        for (int i = 0; i < all.Length; i++)
        {
            all[i] = (DType)(i + 1);
        }

        return all;
    }

    private static Facts[] BuildTable()
    {
        var table = new Facts[Enum.GetValues<DType>().Length];
        table[(int)DType.Undefined] = new("undefined", 0, false, false);
        void Add(DType d, string name, int bits, bool isFloat = false, bool isInteger = false) =>
            table[(int)d] = new(name, bits, isFloat, isInteger);
        Add(DType.F64, "f64", 64, isFloat: true);
        Add(DType.F32, "f32", 32, isFloat: true);
        Add(DType.F16, "f16", 16, isFloat: true);
        Add(DType.BF16, "bf16", 16, isFloat: true);
        Add(DType.F8E4M3FN, "f8e4m3fn", 8, isFloat: true);
        Add(DType.F8E4M3FNUZ, "f8e4m3fnuz", 8, isFloat: true);
        Add(DType.F8E5M2, "f8e5m2", 8, isFloat: true);
        Add(DType.F8E5M2FNUZ, "f8e5m2fnuz", 8, isFloat: true);
        Add(DType.F8E8M0, "f8e8m0", 8, isFloat: true);
        Add(DType.F6E2M3, "f6e2m3", 6, isFloat: true);
        Add(DType.F6E3M2, "f6e3m2", 6, isFloat: true);
        Add(DType.F4E2M1, "f4e2m1", 4, isFloat: true);
        Add(DType.I64, "i64", 64, isInteger: true);
        Add(DType.I32, "i32", 32, isInteger: true);
        Add(DType.I16, "i16", 16, isInteger: true);
        Add(DType.I8, "i8", 8, isInteger: true);
        Add(DType.I4, "i4", 4, isInteger: true);
        Add(DType.I2, "i2", 2, isInteger: true);
        Add(DType.U64, "u64", 64, isInteger: true);
        Add(DType.U32, "u32", 32, isInteger: true);
        Add(DType.U16, "u16", 16, isInteger: true);
        Add(DType.U8, "u8", 8, isInteger: true);
        Add(DType.U4, "u4", 4, isInteger: true);
        Add(DType.U2, "u2", 2, isInteger: true);
        Add(DType.Bool, "bool", 8);
        Add(DType.C64, "c64", 64);
        Add(DType.C128, "c128", 128);
        Add(DType.String, "string", 0);
        return table;
    }
}
