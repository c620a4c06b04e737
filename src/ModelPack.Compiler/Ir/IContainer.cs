namespace ModelPack.Compiler;

/// <summary>A model file format. Registered in <c>Containers</c>; stateless.</summary>
public interface IContainer
{
    /// <summary>The registered name: <c>onnx</c>, <c>safetensors</c>, <c>checkpoint</c>.</summary>
    string Id { get; }

    /// <summary>One line for help texts.</summary>
    string Summary { get; }

    /// <summary>True when <paramref name="path"/> (a file or folder) looks like this format, by name or by its first bytes. Never throws for odd content.</summary>
    bool Recognizes(string path);

    /// <summary>Reads structure only; tensor bytes stay in the file. Everything a hostile file could get wrong is checked here.</summary>
    /// <exception cref="ModelPackException">MP1xxx, with path and where possible tensor and offset.</exception>
    ImportedModel Import(string path, CancellationToken cancellation = default);

    /// <summary>
    /// Finds the tensor bytes of every file that belongs to the model, the main file first. Paths of further files are
    /// relative to the main file's folder; none lies outside it.
    /// </summary>
    /// <exception cref="ModelPackException">MP1xxx as for <see cref="Import"/>.</exception>
    IReadOnlyList<FileMap> Map(string path, CancellationToken cancellation = default);

    /// <summary>Writes the model so that stock runtimes load it. Files appear whole or not at all (temporary name, flush, rename).</summary>
    /// <param name="model">The model.</param>
    /// <param name="path">The main file, or the folder for checkpoints.</param>
    /// <param name="dense">Gives the bytes of a tensor in its own dtype: <see cref="Tensor.DType"/>, dense, row-major.</param>
    /// <param name="cancellation">Stops the export; nothing is left behind.</param>
    /// <returns>All files written.</returns>
    IReadOnlyList<string> Export(Model model, string path, Func<Tensor, TensorData> dense, CancellationToken cancellation = default);
}
