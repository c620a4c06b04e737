using ModelPack.Compiler;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Any supported file opened for looking at its tensors: a model file, a checkpoint folder or an artifact.</summary>
internal sealed class TensorFile : IDisposable
{
    private readonly ImportedModel? _imported;

    private TensorFile(string path, string format, ImportedModel? imported, PackReader? reader, IReadOnlyList<Entry> tensors)
    {
        Path = path;
        Format = format;
        _imported = imported;
        Reader = reader;
        Tensors = tensors;
    }

    /// <summary>One tensor: what it looks like, how it is stored, and what it costs in the file.</summary>
    public sealed record Entry(string Name, DType DType, Shape Shape, WeightEncoding Encoding, long StoredBytes, PackTensor? Packed);

    public string Path { get; }

    /// <summary>As in <see cref="InspectResult.Format"/>.</summary>
    public string Format { get; }

    /// <summary>The artifact, when the file is one.</summary>
    public PackReader? Reader { get; }

    /// <summary>The model, when the file is a model file or folder.</summary>
    public Model? Model => _imported?.Model;

    public IReadOnlyList<Entry> Tensors { get; }

    /// <exception cref="ModelPackException">The file is missing, of no known kind, or damaged.</exception>
    public static TensorFile Open(string path, CancellationToken cancellation, string? basePath = null)
    {
        if (File.Exists(path) && PackReader.IsNamedOrIsArtifact(path))
        {
            PackReader reader = PackReader.Open(path, basePath, cancellation);
            string format = Artifact.IsCompiled(reader) ? "mpack" : "mpack-files";
            return new TensorFile(path, format, null, reader, [.. reader.Tensors.Select(t => new Entry(t.Name, t.DType, t.Shape, t.Encoding, t.StoredBytes, t))]);
        }

        IContainer container = Containers.Containers.For(path);
        ImportedModel imported = container.Import(path, cancellation);
        return new TensorFile(path, container.Id, imported, null, [.. ModelTensors.Enumerate(imported.Model).Select(t => FromTensor(t.Path, t.Tensor))]);
    }

    /// <summary>The tensors that <c>compile</c> would store for a model after its passes, with the values they have before quantisation.</summary>
    public static TensorFile BeforeEncoding(string path, ImportedModel imported, Model model)
    {
        bool hasGraph = model.Kind == ModelKind.Onnx;
        IEnumerable<Tensor> stored = model.Graph.Initializers.Where(t => !hasGraph || ArtifactContent.IsExternal(t)).Concat(model.CarriedTensors);
        return new TensorFile(path, "model", imported, null, [.. stored.Select(t => FromTensor(t.Name, t with { Encoding = WithoutPending(t.Encoding) }))]);
    }

    private static Entry FromTensor(string name, Tensor t) => new(name, t.DType, t.Shape, t.Encoding, EncodingSizes.SourceBytes(t.Encoding), null);

    private static WeightEncoding WithoutPending(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding { Source: WeightEncoding source } => source,
        DenseEncoding { Original: WeightEncoding original } => original,
        StructuredEncoding structured => structured with { Components = [.. structured.Components.Select(WithoutPending)] },
        _ => encoding,
    };

    public void Dispose()
    {
        _imported?.Dispose();
        Reader?.Dispose();
    }
}
