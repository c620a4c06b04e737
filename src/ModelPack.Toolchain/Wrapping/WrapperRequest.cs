namespace ModelPack.Toolchain;

/// <summary>A C# class to write for a compiled model.</summary>
/// <param name="Path">The file to write.</param>
/// <param name="ClassName">Full name of the class.</param>
/// <param name="ArtifactFile">Where the class looks for the artifact, relative to the program's folder; null for the artifact's own file name.</param>
public sealed record WrapperRequest(string Path, string ClassName, string? ArtifactFile = null);
