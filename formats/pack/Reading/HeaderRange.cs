namespace ModelPack.Pack;

/// <summary>Where a tensor of the safetensors header lies in the file. A class, because code of dictionaries for it need not be compiled at run time.</summary>
/// <param name="Begin">First byte.</param>
/// <param name="End">Behind the last byte.</param>
internal sealed record HeaderRange(long Begin, long End);
