using System.Buffers.Binary;
using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>Reads and makes small constant tensors: shapes, axes, scalars.</summary>
public static class SmallConstants
{
    private const int MaxElements = 4096;

    /// <summary>The elements of a small integer or boolean tensor stored plainly.</summary>
    public static bool TryReadIntegers(Tensor? tensor, out ImmutableArray<long> values)
    {
        values = [];
        if (tensor is null || tensor.DType is not (DType.I64 or DType.I32 or DType.Bool) || !tensor.TryGetRawData(out TensorData data)
            || tensor.Shape.ElementCount > MaxElements)
        {
            return false;
        }

        byte[] bytes = data.ToArray();
        var result = ImmutableArray.CreateBuilder<long>();
        for (int i = 0; i < (int)tensor.Shape.ElementCount; i++)
        {
            result.Add(tensor.DType switch
            {
                DType.I64 => BinaryPrimitives.ReadInt64LittleEndian(bytes.AsSpan(i * 8)),
                DType.I32 => BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(i * 4)),
                _ => bytes[i],
            });
        }

        values = result.ToImmutable();
        return true;
    }

    /// <summary>The elements of a plainly stored tensor of integers, booleans or f32, at most so many of them.</summary>
    public static bool TryReadNumbers(Tensor tensor, int most, out ImmutableArray<double> values)
    {
        values = [];
        if (tensor.Shape.ElementCount > most)
        {
            return false;
        }

        if (TryReadIntegers(tensor, out ImmutableArray<long> integers))
        {
            values = [.. integers.Select(i => (double)i)];
            return true;
        }

        if (tensor.DType != DType.F32 || !tensor.TryGetRawData(out TensorData data))
        {
            return false;
        }

        byte[] bytes = data.ToArray();
        values = [.. Enumerable.Range(0, bytes.Length / 4).Select(i => (double)BinaryPrimitives.ReadSingleLittleEndian(bytes.AsSpan(i * 4)))];
        return true;
    }

    /// <summary>An I64 tensor of the given shape.</summary>
    public static Tensor Integers(string name, Shape shape, ReadOnlySpan<long> values)
    {
        byte[] bytes = new byte[values.Length * 8];
        for (int i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(i * 8), values[i]);
        }

        return Tensor.Raw(name, DType.I64, shape, TensorData.FromBytes(bytes));
    }

    /// <summary>An F32 tensor of the given shape.</summary>
    public static Tensor Floats(string name, Shape shape, ReadOnlySpan<float> values)
    {
        byte[] bytes = new byte[values.Length * 4];
        for (int i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i * 4), values[i]);
        }

        return Tensor.Raw(name, DType.F32, shape, TensorData.FromBytes(bytes));
    }

    /// <summary>A string tensor: per element a u32 length and the bytes (see <see cref="DTypes"/>).</summary>
    public static Tensor Strings(string name, Shape shape, IEnumerable<AttributeValue.Text> values)
    {
        using var buffer = new MemoryStream();
        byte[] length = new byte[4];
        foreach (AttributeValue.Text text in values)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(length, (uint)text.Value.Length);
            buffer.Write(length);
            buffer.Write(text.Value.Span);
        }

        return Tensor.Raw(name, DType.String, shape, TensorData.FromBytes(buffer.ToArray()));
    }

    /// <summary>The value of a Constant node as a tensor called like its output.</summary>
    /// <returns>Null for sparse values and for attributes that refer to a function's caller.</returns>
    public static Tensor? FromNode(Node node)
    {
        if (!node.Is("Constant") || node.Outputs is not [{ Length: > 0 } name])
        {
            return null;
        }

        foreach (NodeAttribute attribute in node.Attributes)
        {
            Tensor? tensor = (attribute.Name, attribute.Value) switch
            {
                ("value", AttributeValue.TensorValue t) => t.Value with { Name = name },
                ("value_float", AttributeValue.Float f) => Floats(name, Shape.Scalar, [f.Value]),
                ("value_floats", AttributeValue.Floats f) => Floats(name, new Shape(f.Values.Length), f.Values.AsSpan()),
                ("value_int", AttributeValue.Int i) => Integers(name, Shape.Scalar, [i.Value]),
                ("value_ints", AttributeValue.Ints i) => Integers(name, new Shape(i.Values.Length), i.Values.AsSpan()),
                ("value_string", AttributeValue.Text s) => Strings(name, Shape.Scalar, [s]),
                ("value_strings", AttributeValue.Texts s) => Strings(name, new Shape(s.Values.Length), s.Values),
                _ => null,
            };
            if (tensor is not null)
            {
                return tensor;
            }
        }

        return null;
    }
}
