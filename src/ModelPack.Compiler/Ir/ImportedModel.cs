using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>A model and the open files behind its lazy tensors. Dispose when no tensor will be read any more.</summary>
/// <param name="model">The model as imported.</param>
/// <param name="files">All files that were opened, the main one first.</param>
public sealed class ImportedModel(Model model, ImmutableArray<MappedFile> files) : IDisposable
{
    public Model Model { get; } = model;

    /// <summary>The files read, the main one first: their lengths are the input size, their bytes the provenance hash.</summary>
    public ImmutableArray<MappedFile> Files { get; } = files;

    public void Dispose()
    {
        foreach (MappedFile file in Files)
        {
            file.Dispose();
        }
    }
}
