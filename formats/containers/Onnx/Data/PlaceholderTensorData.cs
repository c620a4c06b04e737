namespace ModelPack.Containers.Onnx;

/// <summary>Stands in a weightless graph for bytes that the artifact holds, until they are bound.</summary>
internal sealed class PlaceholderTensorData(long lengthBytes) : TensorData(lengthBytes)
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination) =>
        throw new ModelPackException(ErrorCodes.OnnxUnboundTensor, "the data of a weightless graph was read before it was bound");
}
