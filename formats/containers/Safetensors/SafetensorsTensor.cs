namespace ModelPack.Containers.Safetensors;

/// <summary>One tensor of a safetensors header.</summary>
/// <param name="Name">Tensor name.</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Shape; element count and bytes are known to fit in 63 bits.</param>
/// <param name="BeginBytes">Start, counted from the start of the data.</param>
/// <param name="EndBytes">End, exclusive.</param>
/// <param name="HeaderIndex">Place among the tensors of the header, for a stable order.</param>
internal readonly record struct SafetensorsTensor(string Name, DType DType, Shape Shape, long BeginBytes, long EndBytes, int HeaderIndex)
{
    public long LengthBytes => EndBytes - BeginBytes;
}
