using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>A decoded weight and the initializers that use it.</summary>
/// <param name="Location">Name under which ONNX Runtime finds it.</param>
/// <param name="Buffer">Its bytes.</param>
/// <param name="Initializers">Names of the initializers.</param>
internal sealed record LoadedWeight(string Location, WeightBuffer Buffer, List<string> Initializers);
