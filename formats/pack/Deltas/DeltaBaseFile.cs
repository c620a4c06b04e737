namespace ModelPack.Pack;

/// <summary>One file of a base.</summary>
/// <param name="RelativePath">Its path below the base's folder, with forward slashes; the file name for a single file.</param>
/// <param name="Data">All its bytes.</param>
/// <param name="Sha256">Their SHA-256 in lower-case hexadecimal.</param>
/// <param name="Ranges">Where tensors lie in it, ascending; empty when only read.</param>
public sealed record DeltaBaseFile(string RelativePath, TensorData Data, string Sha256, IReadOnlyList<PackedFileRange> Ranges);
