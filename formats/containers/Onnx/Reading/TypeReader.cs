using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx.Schema;
using ValueType = ModelPack.Compiler.ValueType;

namespace ModelPack.Containers.Onnx;

/// <summary>ValueInfoProto and TypeProto to the IR.</summary>
internal static class TypeReader
{
    public static ValueInfo Read(ValueInfoProto proto)
    {
        string name = proto.Name;
        ValueType type = proto.Type is null ? ValueType.Unknown : Read(proto.Type);
        if (name.Length > 0)
        {
            proto.ClearName();
        }

        if (type != ValueType.Unknown)
        {
            proto.Type = null;
        }

        return new ValueInfo(name, type, Foreign.Of(proto));
    }

    private static ValueType Read(TypeProto proto)
    {
        DType dtype = proto.TensorType is { } tensor ? OnnxDTypes.FromNumber(tensor.ElemType) : DType.Undefined;
        if (dtype == DType.Undefined)
        {
            return new ValueType(DType.Undefined, default, Foreign.Of(proto));
        }

        TypeProto.Types.Tensor type = proto.TensorType!;
        ImmutableArray<Dimension> dims = type.Shape is null ? default : [.. type.Shape.Dim.Select(Read)];
        type.ClearElemType();
        type.Shape?.Dim.Clear();
        if (type.Shape?.CalculateSize() == 0)
        {
            type.Shape = null;
        }

        if (type.CalculateSize() == 0)
        {
            proto.TensorType = null;
        }

        return new ValueType(dtype, dims, Foreign.Of(proto));
    }

    private static Dimension Read(TensorShapeProto.Types.Dimension proto)
    {
        long? value = proto.HasDimValue ? proto.DimValue : null;
        string? symbol = proto.HasDimParam ? proto.DimParam : null;
        proto.ClearValue();
        return new Dimension(value, symbol, Foreign.Of(proto));
    }
}
