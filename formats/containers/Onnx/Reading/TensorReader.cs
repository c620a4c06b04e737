using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx.Schema;
using Proto = ModelPack.Containers.Onnx.Schema.TensorProto.Types;

namespace ModelPack.Containers.Onnx;

/// <summary>TensorProto to IR tensor: finds the bytes, checks them against dtype and shape, reads none of them.</summary>
internal static class TensorReader
{
    /// <summary>Typed data up to this size is decoded at once: shapes, scalars and the like are read often.</summary>
    private const int EagerBytes = 4096;

    /// <summary>Takes the modelled fields out of <paramref name="proto"/>; what is left becomes <see cref="Tensor.Foreign"/>.</summary>
    /// <exception cref="ModelPackException">MP1220-1224, MP1230-1237.</exception>
    public static Tensor Read(TensorProto proto, ReadContext context)
    {
        string name = proto.Name;
        DType dtype = OnnxDTypes.FromNumber(proto.DataType);
        if (dtype == DType.Undefined)
        {
            throw context.Error(ErrorCodes.OnnxDType, $"unknown data type {proto.DataType}", name);
        }

        if (proto.Segment is not null)
        {
            throw context.Error(ErrorCodes.OnnxSegment, "a tensor stored in segments is not supported", name);
        }

        Shape shape = ReadShape(proto.Dims, name, context);
        if (!shape.TryElementCount(out long elements) || (dtype != DType.String && !dtype.TryStorageBytes(elements, out _)))
        {
            throw context.Error(ErrorCodes.OnnxShape, $"{dtype.Name()}{shape} has too many elements", name);
        }

        Located found = proto.DataLocation == Proto.DataLocation.External
            ? External(proto, dtype, elements, context)
            : Internal(proto, dtype, elements, context);
        if (dtype != DType.String && found.Data.LengthBytes != dtype.StorageBytes(elements))
        {
            throw context.Error(ErrorCodes.OnnxTensorSize, $"{dtype.Name()}{shape} needs {dtype.StorageBytes(elements)} bytes but has {found.Data.LengthBytes}", name);
        }

        bool external = proto.DataLocation == Proto.DataLocation.External;
        if (name.Length > 0)
        {
            proto.ClearName();
        }

        proto.Dims.Clear();
        proto.ClearDataType();
        proto.ClearDataLocation();
        proto.ModelpackRanges.Clear();
        if (external)
        {
            proto.ExternalData.Clear();
        }

        Tensor tensor = Tensor.Raw(name, dtype, shape, found.Data) with { Foreign = Foreign.Of(proto) };
        if (found.File is not null && found.Data.LengthBytes > 0)
        {
            context.Located?.Invoke(found.File, tensor, found.OffsetBytes);
        }

        return tensor;
    }

    public static Shape ReadShape(IReadOnlyList<long> dims, string name, ReadContext context)
    {
        long[] copy = [.. dims];
        if (Array.Exists(copy, d => d < 0))
        {
            throw context.Error(ErrorCodes.OnnxShape, $"negative dimension in [{string.Join(',', copy)}]", name);
        }

        return new Shape(copy);
    }

    private static Located Internal(TensorProto proto, DType dtype, long elements, ReadContext context)
    {
        int field = 0;
        var ranges = ImmutableArray.CreateBuilder<DataRange>();
        foreach (Proto.DataRange range in proto.ModelpackRanges)
        {
            if (range.Length == 0)
            {
                continue;
            }

            if (field != 0 && range.Field != field)
            {
                throw context.Error(ErrorCodes.OnnxTensorFields, $"data in field {field} and in field {range.Field}", proto.Name);
            }

            field = range.Field;
            ranges.Add(new DataRange(range.Packed, range.Offset, range.Length));
        }

        int typed = OnnxDTypes.TypedField(dtype);
        if (field != 0 && field != typed && (field != OnnxSchema.RawData || dtype == DType.String))
        {
            throw context.Error(ErrorCodes.OnnxTensorFields, $"{dtype.Name()} elements cannot be in data field {field}", proto.Name);
        }

        if (dtype == DType.String)
        {
            return Strings(proto.Name, ranges.ToImmutable(), elements, context);
        }

        if (field == 0)
        {
            return new Located(TensorData.Empty, null, 0);
        }

        WireType wire = OnnxSchema.ElementWireType(field);
        bool dense = field == OnnxSchema.RawData || (ranges.Count == 1 && ranges[0].Packed && wire != WireType.Varint);
        if (dense)
        {
            DataRange last = ranges[^1];
            return new Located(context.Region(last.OffsetBytes, last.LengthBytes), context.File, last.OffsetBytes);
        }

        var data = TypedTensorData.Index(context.Source, ranges.ToImmutable(), wire, OnnxDTypes.TypedEntryBytes(dtype), context.Path, context.Cancellation);
        return new Located(Eager(data), null, 0);
    }

    private static Located Strings(string name, ImmutableArray<DataRange> ranges, long elements, ReadContext context)
    {
        var strings = StringTensorData.Index(context.Source, ranges, context.Path, context.Cancellation);
        return strings.Elements == elements
            ? new Located(Eager(strings), null, 0)
            : throw context.Error(ErrorCodes.OnnxTensorSize, $"{elements} strings expected, {strings.Elements} present", name);
    }

    private static TensorData Eager(TensorData data) => data.LengthBytes <= EagerBytes ? TensorData.FromBytes(data.ToArray()) : data;

    private static Located External(TensorProto proto, DType dtype, long elements, ReadContext context)
    {
        if (dtype == DType.String)
        {
            throw context.Error(ErrorCodes.OnnxTensorFields, "strings cannot be external data", proto.Name);
        }

        if (proto.ModelpackRanges.Any(r => r.Length > 0))
        {
            throw context.Error(ErrorCodes.OnnxTensorFields, "data both inside the file and external", proto.Name);
        }

        string location = "";
        long offset = 0;
        long expected = dtype.StorageBytes(elements);
        long length = expected;
        foreach (StringStringEntryProto entry in proto.ExternalData)
        {
            switch (entry.Key)
            {
                case "location":
                    location = entry.Value;
                    break;
                case "offset":
                    offset = Number(entry, proto.Name, context);
                    break;
                case "length":
                    length = Number(entry, proto.Name, context);
                    break;
            }
        }

        if (length != expected)
        {
            throw context.Error(ErrorCodes.OnnxTensorSize, $"needs {expected} bytes but its external data has {length}", proto.Name);
        }

        if (context.External is null)
        {
            return new Located(new PlaceholderTensorData(length), null, 0);
        }

        MappedFile file = context.External.Open(location, proto.Name);
        if (offset > file.LengthBytes || length > file.LengthBytes - offset)
        {
            throw context.Error(ErrorCodes.OnnxExternalRange, $"bytes {offset}+{length} of '{location}', which has {file.LengthBytes}", proto.Name);
        }

        return new Located(file.Region(offset, length), file, offset);
    }

    private static long Number(StringStringEntryProto entry, string tensor, ReadContext context) =>
        long.TryParse(entry.Value, NumberStyles.None, CultureInfo.InvariantCulture, out long value)
            ? value
            : throw context.Error(ErrorCodes.OnnxExternalEntries, $"{entry.Key} '{entry.Value}' is not a decimal number of bytes", tensor);

    private readonly record struct Located(TensorData Data, MappedFile? File, long OffsetBytes);
}
