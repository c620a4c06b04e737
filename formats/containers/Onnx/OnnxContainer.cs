using ModelPack.Compiler;

namespace ModelPack.Containers.Onnx;

/// <summary>ONNX files (.onnx), with their weights inside or in external files of the same folder.</summary>
public sealed class OnnxContainer : IContainer
{
    public string Id => "onnx";

    public string Summary => "ONNX model, weights inside or in external data files";

    public bool Recognizes(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        return path.EndsWith(".onnx", StringComparison.OrdinalIgnoreCase) || StartsLikeAModel(path);
    }

    public ImportedModel Import(string path, CancellationToken cancellation = default) => OnnxModelReader.Import(path, cancellation);

    public IReadOnlyList<FileMap> Map(string path, CancellationToken cancellation = default) => OnnxMapper.Map(path, cancellation);

    public IReadOnlyList<string> Export(Model model, string path, Func<Tensor, TensorData> dense, CancellationToken cancellation = default) =>
        OnnxModelWriter.Write(model, path, dense, null, cancellation);

    /// <summary>Field 1, the IR version, as a small number, then a text or message field of ModelProto: what every exporter writes first.</summary>
    private static bool StartsLikeAModel(string path)
    {
        Span<byte> head = stackalloc byte[3];
        try
        {
            using MappedFile file = MappedFile.Open(path);
            if (file.LengthBytes < 8)
            {
                return false;
            }

            file.Read(0, head);
        }
        catch (ModelPackException)
        {
            return false;
        }

        return head[0] == 0x08 && head[1] is >= 1 and <= 0x40 && head[2] is 0x12 or 0x1A or 0x22 or 0x28 or 0x32 or 0x3A or 0x42;
    }
}
