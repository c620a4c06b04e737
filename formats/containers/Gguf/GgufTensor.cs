namespace ModelPack.Containers.Gguf;

/// <summary>A tensor of a GGUF file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its type.</param>
/// <param name="Shape">Its shape, outermost dimension first (the file has them the other way round).</param>
/// <param name="OffsetBytes">Where it begins in the file.</param>
/// <param name="LengthBytes">Its length.</param>
internal sealed record GgufTensor(string Name, GgufType Type, Shape Shape, long OffsetBytes, long LengthBytes);
