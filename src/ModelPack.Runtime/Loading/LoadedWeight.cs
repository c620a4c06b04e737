using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>A decoded weight and the initializers that use it.</summary>
/// <param name="Location">Name under which ONNX Runtime finds it.</param>
/// <param name="Buffer">Its bytes.</param>
/// <param name="Initializers">Names of the initializers.</param>
/// <param name="IsReadInPlace">True for what only the own operators read: they take it from the buffer, as long as the session lives.</param>
internal sealed record LoadedWeight(string Location, WeightBuffer Buffer, List<string> Initializers, bool IsReadInPlace);
