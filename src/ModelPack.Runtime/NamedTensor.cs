using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime;

/// <summary>A tensor in managed memory with a name: what goes into a model and comes out of it. Immutable; dense, row-major.</summary>
public sealed class NamedTensor
{
    private readonly ReadOnlyMemory<byte> _bytes;

    private NamedTensor(string name, DType dtype, Shape shape, ReadOnlyMemory<byte> bytes)
    {
        Name = name;
        DType = dtype;
        Shape = shape;
        _bytes = bytes;
    }

    public string Name { get; }

    public DType DType { get; }

    public Shape Shape { get; }

    /// <summary>The values as bytes, little-endian.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes.Span;

    internal ReadOnlyMemory<byte> Memory => _bytes;

    /// <summary>Makes a tensor of values; they are copied.</summary>
    /// <typeparam name="T">float, double, Half, BFloat16, bool, or an integer of 8 to 64 bits.</typeparam>
    /// <param name="name">Input name.</param>
    /// <param name="values">The values, row-major.</param>
    /// <param name="shape">Dimensions; none means one axis as long as there are values.</param>
    /// <exception cref="ModelPackException">MP5004: the shape does not hold that many values, or T is not a tensor element type.</exception>
    public static NamedTensor Of<T>(string name, ReadOnlySpan<T> values, params ReadOnlySpan<long> shape)
        where T : unmanaged => Make(name, values, shape.IsEmpty ? new Shape(values.Length) : new Shape(shape));

    /// <summary>Makes a tensor of one value and no axis.</summary>
    /// <typeparam name="T">As of <see cref="Of{T}(string, ReadOnlySpan{T}, ReadOnlySpan{long})"/>.</typeparam>
    /// <param name="name">Input name.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="ModelPackException">MP5004: T is not a tensor element type.</exception>
    public static NamedTensor Scalar<T>(string name, T value)
        where T : unmanaged => Make(name, [value], Shape.Scalar);

    /// <summary>As the other overload, for arrays.</summary>
    /// <exception cref="ModelPackException">MP5004: as there.</exception>
    public static NamedTensor Of<T>(string name, T[] values, params ReadOnlySpan<long> shape)
        where T : unmanaged => Of(name, values.AsSpan(), shape);

    /// <summary>Makes a tensor of bytes, which are not copied and must not change afterwards.</summary>
    /// <exception cref="ModelPackException">MP5004: the number of bytes does not fit dtype and shape, or the dtype has no fixed width.</exception>
    public static NamedTensor OfBytes(string name, DType dtype, Shape shape, ReadOnlyMemory<byte> bytes)
    {
        if (!shape.TryElementCount(out long elements) || !dtype.TryStorageBytes(elements, out long expected) || expected != bytes.Length)
        {
            throw new ModelPackException(ErrorCodes.BadInput, $"{bytes.Length} bytes do not fill {dtype.Name()}{shape}", tensor: name);
        }

        return new NamedTensor(name, dtype, shape, bytes);
    }

    /// <summary>The values.</summary>
    /// <exception cref="ModelPackException">MP5006: the tensor has another element type.</exception>
    public ReadOnlySpan<T> Values<T>()
        where T : unmanaged =>
        DTypeOf<T>() == DType
            ? MemoryMarshal.Cast<byte, T>(Bytes)
            : throw new ModelPackException(ErrorCodes.BadOutput, $"holds {DType.Name()}, not {typeof(T).Name}", tensor: Name);

    private static NamedTensor Make<T>(string name, ReadOnlySpan<T> values, Shape shape)
        where T : unmanaged
    {
        DType dtype = DTypeOf<T>();
        return dtype != DType.Undefined
            ? OfBytes(name, dtype, shape, MemoryMarshal.AsBytes(values).ToArray())
            : throw new ModelPackException(ErrorCodes.BadInput, $"{typeof(T).Name} is not a tensor element type", tensor: name);
    }

    public override string ToString() => $"{Name}: {DType.Name()}{Shape}";

    private static DType DTypeOf<T>()
        where T : unmanaged
    {
        if (typeof(T) == typeof(float))
        {
            return DType.F32;
        }

        if (typeof(T) == typeof(Half) || typeof(T) == typeof(Float16))
        {
            return DType.F16;
        }

        if (typeof(T) == typeof(bool))
        {
            return DType.Bool;
        }

        if (typeof(T) == typeof(Microsoft.ML.OnnxRuntime.BFloat16))
        {
            return DType.BF16;
        }

        return Type.GetTypeCode(typeof(T)) switch
        {
            TypeCode.Double => DType.F64,
            TypeCode.SByte => DType.I8,
            TypeCode.Byte => DType.U8,
            TypeCode.Int16 => DType.I16,
            TypeCode.UInt16 => DType.U16,
            TypeCode.Int32 => DType.I32,
            TypeCode.UInt32 => DType.U32,
            TypeCode.Int64 => DType.I64,
            TypeCode.UInt64 => DType.U64,
            _ => DType.Undefined,
        };
    }
}
