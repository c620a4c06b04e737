namespace ModelPack;

/// <summary>One byte stream of an encoded tensor: its role (<c>values</c>, <c>codes</c>, <c>scales</c>, ...) and its decoded bytes.</summary>
/// <param name="Role">Unique within the encoding; defined by the number format.</param>
/// <param name="Data">The bytes after codec decoding.</param>
public sealed record EncodedStream(string Role, TensorData Data);
