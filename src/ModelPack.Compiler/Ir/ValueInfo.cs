namespace ModelPack.Compiler;

/// <summary>Name and type of a graph input, output or intermediate value.</summary>
/// <param name="Name">Value name.</param>
/// <param name="Type">Its type; <see cref="ValueType.Unknown"/> when the file gives none.</param>
/// <param name="Foreign">Container fields not modelled.</param>
public sealed record ValueInfo(string Name, ValueType Type, ForeignFields Foreign = default);
