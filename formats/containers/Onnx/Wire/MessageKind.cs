namespace ModelPack.Containers.Onnx;

/// <summary>The message types that the scanner walks into.</summary>
internal enum MessageKind : byte
{
    Model,
    OperatorSetId,
    Entry,
    IntIntListEntry,
    TrainingInfo,
    DeviceConfiguration,
    NodeDeviceConfiguration,
    ShardingSpec,
    ShardedDim,
    SimpleShardedDim,
    Graph,
    TensorAnnotation,
    ValueInfo,
    Node,
    Attribute,
    Tensor,
    Segment,
    SparseTensor,
    Shape,
    Dimension,
    Type,
    TypeTensor,
    TypeSequence,
    TypeMap,
    TypeOpaque,
    Function,
}
