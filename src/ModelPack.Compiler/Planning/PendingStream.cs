namespace ModelPack.Compiler.Planning;

/// <summary>Stands for a stream of a weight that the packer has not encoded yet: its length is known, its bytes are not.</summary>
internal sealed class PendingStream(string tensor, long lengthBytes) : TensorData(lengthBytes)
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination) =>
        throw new ModelPackException(ErrorCodes.StreamNotEncoded, "its streams are read before it was encoded: plan the model as read back from the artifact", tensor: tensor);
}
