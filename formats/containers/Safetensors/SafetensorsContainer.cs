using System.Buffers.Binary;
using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Containers.Checkpoint;

namespace ModelPack.Containers.Safetensors;

/// <summary>One safetensors file: named tensors and string metadata, no graph.</summary>
internal sealed class SafetensorsContainer : IContainer
{
    public string Id => "safetensors";

    public string Summary => "named tensors with a JSON header (.safetensors)";

    public bool Recognizes(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        string extension = Path.GetExtension(path);
        if (extension.Equals(".safetensors", StringComparison.OrdinalIgnoreCase))
        {
            return true;
        }

        // A packed artifact is a safetensors file too, but not a model to compile.
        return !extension.Equals(".mpack", StringComparison.OrdinalIgnoreCase) && HasHeaderStart(path);
    }

    public ImportedModel Import(string path, CancellationToken cancellation = default)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            SafetensorsHeader header = SafetensorsHeader.Read(file, cancellation);
            var model = new Model
            {
                Kind = ModelKind.Safetensors,
                Graph = new Graph { Initializers = Fp8BlockWeights.Join(Tensors(file, header), declaredBlock: null, path) },
                Metadata = header.Metadata,
            };
            return new ImportedModel(model, [file]);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public IReadOnlyList<FileMap> Map(string path, CancellationToken cancellation = default)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return [Map(file, SafetensorsHeader.Read(file, cancellation))];
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public IReadOnlyList<string> Export(Model model, string path, Func<Tensor, TensorData> dense, CancellationToken cancellation = default) => Write(model, path, dense, journal: null, cancellation);

    /// <summary>As <see cref="Export"/>, with a journal that keeps what is finished.</summary>
    internal static IReadOnlyList<string> Write(Model model, string path, Func<Tensor, TensorData> dense, OutputJournal? journal, CancellationToken cancellation)
    {
        ImmutableArray<Tensor> tensors = TensorsToWrite(model);
        using var files = new AtomicFiles(journal);
        files.AddFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        files.Add(path, stream => SafetensorsWriter.Write(stream, tensors, model.Metadata, dense, cancellation));
        files.Commit();
        return files.Paths;
    }

    /// <summary>The tensors of a model that is nothing but tensors, checked for what the format can hold.</summary>
    /// <exception cref="ModelPackException">MP1142 for a model with a graph, and those of <see cref="SafetensorsWriter.Check"/>.</exception>
    internal static ImmutableArray<Tensor> TensorsToWrite(Model model)
    {
        if (model.Kind == ModelKind.Onnx || !model.Graph.Nodes.IsEmpty)
        {
            throw new ModelPackException(ErrorCodes.SafetensorsCannotHoldGraph, "safetensors holds tensors only: the model's graph would be lost; export to onnx instead");
        }

        SafetensorsWriter.Check(model.Graph.Initializers);
        return model.Graph.Initializers;
    }

    /// <summary>Lazy tensors over <paramref name="file"/>, in file order.</summary>
    internal static ImmutableArray<Tensor> Tensors(MappedFile file, SafetensorsHeader header)
    {
        var tensors = ImmutableArray.CreateBuilder<Tensor>(header.Tensors.Length);
        foreach (SafetensorsTensor tensor in header.Tensors)
        {
            TensorData data = file.Region(header.DataStartBytes + tensor.BeginBytes, tensor.LengthBytes);
            tensors.Add(Tensor.Raw(tensor.Name, tensor.DType, tensor.Shape, data));
        }

        return tensors.MoveToImmutable();
    }

    /// <summary>Byte ranges of the tensors that have bytes.</summary>
    internal static FileMap Map(MappedFile file, SafetensorsHeader header)
    {
        var ranges = ImmutableArray.CreateBuilder<TensorRange>(header.Tensors.Length);
        foreach (SafetensorsTensor tensor in header.Tensors)
        {
            if (tensor.LengthBytes > 0)
            {
                ranges.Add(new TensorRange(tensor.Name, tensor.DType, tensor.Shape, header.DataStartBytes + tensor.BeginBytes, tensor.LengthBytes));
            }
        }

        return new FileMap(file, ranges.DrainToImmutable());
    }

    private static bool HasHeaderStart(string path)
    {
        try
        {
            using MappedFile file = MappedFile.Open(path);
            Span<byte> start = stackalloc byte[SafetensorsHeader.LengthFieldBytes + 1];
            if (file.LengthBytes < start.Length)
            {
                return false;
            }

            file.Read(0, start);
            ulong length = BinaryPrimitives.ReadUInt64LittleEndian(start);
            return length <= SafetensorsHeader.MaxHeaderBytes
                && (long)length <= file.LengthBytes - SafetensorsHeader.LengthFieldBytes
                && start[^1] == (byte)'{';
        }
        catch (ModelPackException)
        {
            return false;
        }
    }
}
