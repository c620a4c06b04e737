using M = ModelPack.Containers.Onnx.MessageKind;

namespace ModelPack.Containers.Onnx;

/// <summary>The schema as the scanner needs it: which fields hold messages, text and tensor data.</summary>
internal static class OnnxSchema
{
    /// <summary>Number of the private field of TensorProto that stands for data: the highest that protobuf allows.</summary>
    public const int RangesField = 536870911;

    public const int FloatData = 4;
    public const int Int32Data = 5;
    public const int StringData = 6;
    public const int Int64Data = 7;
    public const int RawData = 9;
    public const int DoubleData = 10;
    public const int UInt64Data = 11;

    /// <summary>Role of field <paramref name="field"/> of <paramref name="kind"/> when it is length-delimited, and the kind of the message in it.</summary>
    public static (FieldRole Role, M Child) Lookup(M kind, int field) => (kind, field) switch
    {
        (M.Model, 7) => In(M.Graph),
        (M.Model, 8) => In(M.OperatorSetId),
        (M.Model, 14) => In(M.Entry),
        (M.Model, 20) => In(M.TrainingInfo),
        (M.Model, 25) => In(M.Function),
        (M.Model, 26) => In(M.DeviceConfiguration),
        (M.Model, 2 or 3 or 4 or 6) => Text,

        (M.Graph, 1) => In(M.Node),
        (M.Graph, 5) => In(M.Tensor),
        (M.Graph, 11 or 12 or 13) => In(M.ValueInfo),
        (M.Graph, 14) => In(M.TensorAnnotation),
        (M.Graph, 15) => In(M.SparseTensor),
        (M.Graph, 16) => In(M.Entry),
        (M.Graph, 2 or 10) => Text,

        (M.Node, 5) => In(M.Attribute),
        (M.Node, 9) => In(M.Entry),
        (M.Node, 10) => In(M.NodeDeviceConfiguration),
        (M.Node, 1 or 2 or 3 or 4 or 6 or 7 or 8) => Text,

        (M.Attribute, 5 or 10) => In(M.Tensor),
        (M.Attribute, 6 or 11) => In(M.Graph),
        (M.Attribute, 14 or 15) => In(M.Type),
        (M.Attribute, 22 or 23) => In(M.SparseTensor),
        (M.Attribute, 1 or 13 or 21) => Text,

        (M.Tensor, RawData or FloatData or Int32Data or StringData or Int64Data or DoubleData or UInt64Data) => (FieldRole.Data, default),
        (M.Tensor, RangesField) => (FieldRole.Reserved, default),
        (M.Tensor, 3) => In(M.Segment),
        (M.Tensor, 13 or 16) => In(M.Entry),
        (M.Tensor, 8 or 12) => Text,

        (M.SparseTensor, 1 or 2) => In(M.Tensor),

        (M.Function, 7) => In(M.Node),
        (M.Function, 9) => In(M.OperatorSetId),
        (M.Function, 11) => In(M.Attribute),
        (M.Function, 12) => In(M.ValueInfo),
        (M.Function, 14) => In(M.Entry),
        (M.Function, 1 or 4 or 5 or 6 or 8 or 10 or 13) => Text,

        (M.TrainingInfo, 1 or 2) => In(M.Graph),
        (M.TrainingInfo, 3 or 4) => In(M.Entry),

        (M.ValueInfo, 2) => In(M.Type),
        (M.ValueInfo, 4) => In(M.Entry),
        (M.ValueInfo, 1 or 3) => Text,

        (M.Type, 1 or 8) => In(M.TypeTensor),
        (M.Type, 4 or 9) => In(M.TypeSequence),
        (M.Type, 5) => In(M.TypeMap),
        (M.Type, 7) => In(M.TypeOpaque),
        (M.Type, 6) => Text,
        (M.TypeTensor, 2) => In(M.Shape),
        (M.TypeSequence, 1) => In(M.Type),
        (M.TypeMap, 2) => In(M.Type),
        (M.TypeOpaque, 1 or 2) => Text,
        (M.Shape, 1) => In(M.Dimension),
        (M.Dimension, 2 or 3) => Text,

        (M.Entry, 1 or 2) => Text,
        (M.OperatorSetId, 1) => Text,
        (M.TensorAnnotation, 1) => Text,
        (M.TensorAnnotation, 2) => In(M.Entry),
        (M.DeviceConfiguration, 1 or 3) => Text,
        (M.NodeDeviceConfiguration, 1) => Text,
        (M.NodeDeviceConfiguration, 2) => In(M.ShardingSpec),
        (M.ShardingSpec, 1) => Text,
        (M.ShardingSpec, 3) => In(M.IntIntListEntry),
        (M.ShardingSpec, 4) => In(M.ShardedDim),
        (M.ShardedDim, 2) => In(M.SimpleShardedDim),
        (M.SimpleShardedDim, 2) => Text,
        _ => (FieldRole.Copy, default),
    };

    /// <summary>Wire type of one element of a tensor's typed data field when it is not packed.</summary>
    public static WireType ElementWireType(int field) => field switch
    {
        FloatData => WireType.Fixed32,
        DoubleData => WireType.Fixed64,
        StringData or RawData => WireType.LengthDelimited,
        _ => WireType.Varint,
    };

    private static (FieldRole Role, M Child) Text => (FieldRole.Text, default);

    private static (FieldRole Role, M Child) In(M child) => (FieldRole.Message, child);
}
