using Google.Protobuf;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx.Schema;

namespace ModelPack.Containers.Onnx;

/// <summary>Writes ONNX models by streaming: neither the model nor any tensor is ever held whole.</summary>
public static class OnnxModelWriter
{
    /// <summary>The file name that weightless graphs give as the location of their external tensors.</summary>
    public const string ArtifactLocation = "model.mpack";

    /// <summary>Protobuf's own limit for a message.</summary>
    private const long MaxMessageBytes = int.MaxValue;

    /// <summary>Writes a .onnx file, and a data file beside it where the weights need one. Files appear whole or not at all.</summary>
    /// <param name="model">A model with a graph.</param>
    /// <param name="path">The .onnx file.</param>
    /// <param name="dense">Gives the dense bytes of a tensor in its dtype.</param>
    /// <param name="options">Where weights go.</param>
    /// <param name="cancellation">Stops the export; nothing is left behind.</param>
    /// <returns>The files written, the .onnx file first.</returns>
    /// <exception cref="ModelPackException">MP1005, MP1220, MP1222, MP1250, MP1251.</exception>
    public static IReadOnlyList<string> Write(Model model, string path, Func<Tensor, TensorData> dense, OnnxExportOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new OnnxExportOptions();
        (byte[] slim, DataPlan plan, long size) = Plan(model, Path.GetFileName(path), dense, options);
        if (size > MaxMessageBytes)
        {
            throw new ModelPackException(ErrorCodes.OnnxExportTooLarge, $"the .onnx file would have {size} bytes; protobuf ends at {MaxMessageBytes}. Write the weights to an external file", path);
        }

        // The data file comes first: when the second rename fails, the old model still fits the old data or there is no model.
        using var files = new AtomicFiles();
        string dataPath = path + ".data";
        if (plan.External.Count > 0)
        {
            files.Add(dataPath, output => WriteExternal(plan, output, cancellation));
        }

        files.Add(path, output => WriteMessage(slim, plan, output, cancellation));
        files.Commit();
        return plan.External.Count > 0 ? [path, dataPath] : [path];
    }

    /// <summary>
    /// The graph without the weights that an artifact holds: those tensors refer to external data in <see cref="ArtifactLocation"/> with a placeholder
    /// offset 0 and their true length. All other tensors lie in the result.
    /// </summary>
    /// <param name="model">A model with a graph.</param>
    /// <param name="isExternal">True for a tensor that the artifact holds; not asked for strings and empty tensors, which always lie in the result. Which tensor is meant is found again by its path (<see cref="ModelTensors"/>).</param>
    /// <param name="dense">Bytes of the others; null: they must be raw.</param>
    /// <exception cref="ModelPackException">MP1250, MP1251.</exception>
    public static byte[] WriteWeightless(Model model, Func<Tensor, bool> isExternal, Func<Tensor, TensorData>? dense = null)
    {
        var plan = new DataPlan();
        byte[] slim = Build(model, (tensor, proto) =>
        {
            long length = tensor.DType == DType.String ? 0 : tensor.DType.StorageBytes(tensor.Shape.ElementCount);
            if (length > 0 && isExternal(tensor))
            {
                DataPlan.Refer(proto, ArtifactLocation, 0, length);
            }
            else
            {
                plan.PutInline(proto, tensor.DType, Checked(tensor, dense ?? Raw));
            }
        });
        long size = ModelExpander.Measure(slim, plan.Inline);
        if (size > Array.MaxLength)
        {
            throw new ModelPackException(ErrorCodes.OnnxExportTooLarge, $"a graph of {size} bytes without its external weights");
        }

        byte[] result = new byte[size];
        using var output = new MemoryStream(result);
        ModelExpander.Write(slim, plan.Inline, output, CancellationToken.None);
        return result;
    }

    /// <summary>A weightless graph whose external tensors are all initializers, attribute tensors and sparse parts that <paramref name="isExternal"/> picks by path.</summary>
    /// <param name="model">A model with a graph.</param>
    /// <param name="isExternal">Gets path (<see cref="ModelTensors"/>) and tensor.</param>
    /// <param name="dense">Bytes of the others; null: they must be raw.</param>
    /// <exception cref="ModelPackException">MP1250, MP1251.</exception>
    public static byte[] WriteWeightless(Model model, Func<string, Tensor, bool> isExternal, Func<Tensor, TensorData>? dense = null)
    {
        // One object may stand at several places: give every place its own object, so that the choice made for a path holds for that path only.
        var chosen = new HashSet<Tensor>(ReferenceEqualityComparer.Instance);
        Model distinct = ModelTensors.Replace(model, (path, tensor) =>
        {
            Tensor copy = tensor with { Name = tensor.Name };
            if (isExternal(path, tensor))
            {
                chosen.Add(copy);
            }

            return copy;
        });
        return WriteWeightless(distinct, chosen.Contains, dense);
    }

    /// <summary>What <see cref="Write"/> will write: the message without data, the data in their places, the size of the .onnx file.</summary>
    internal static (byte[] Slim, DataPlan Plan, long Size) Plan(Model model, string fileName, Func<Tensor, TensorData> dense, OnnxExportOptions options)
    {
        if (options.Weights != OnnxWeights.External)
        {
            (byte[] slim, DataPlan plan, long size) = Plan(model, fileName, dense, long.MaxValue);
            if (options.Weights == OnnxWeights.Inline || size <= options.InlineLimitBytes)
            {
                return (slim, plan, size);
            }
        }

        return Plan(model, fileName, dense, Math.Max(1, options.MinExternalBytes));
    }

    private static (byte[] Slim, DataPlan Plan, long Size) Plan(Model model, string fileName, Func<Tensor, TensorData> dense, long minExternalBytes)
    {
        var plan = new DataPlan();
        byte[] slim = Build(model, (tensor, proto) =>
        {
            TensorData data = Checked(tensor, dense);
            if (data.LengthBytes >= minExternalBytes && tensor.DType != DType.String)
            {
                plan.PutExternal(proto, fileName + ".data", data);
            }
            else
            {
                plan.PutInline(proto, tensor.DType, data);
            }
        });
        return (slim, plan, ModelExpander.Measure(slim, plan.Inline));
    }

    private static byte[] Build(Model model, Action<Tensor, TensorProto> tensors)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            throw new ModelPackException(ErrorCodes.OnnxExportNoGraph, "a checkpoint has tensors but no graph; it can be exported as safetensors");
        }

        return new ProtoBuilder(tensors).Build(model).ToByteArray();
    }

    private static TensorData Checked(Tensor tensor, Func<Tensor, TensorData> dense)
    {
        TensorData data = dense(tensor);
        return tensor.DType == DType.String || data.LengthBytes == tensor.DType.StorageBytes(tensor.Shape.ElementCount)
            ? data
            : throw new ModelPackException(ErrorCodes.OnnxTensorSize, $"{tensor.DType.Name()}{tensor.Shape} was given {data.LengthBytes} bytes", null, tensor.Name);
    }

    private static TensorData Raw(Tensor tensor) => tensor.TryGetRawData(out TensorData data)
        ? data
        : throw new InvalidOperationException($"tensor '{tensor.Name}' is {tensor.Encoding.Describe()}: give its dense bytes");

    private static void WriteMessage(byte[] slim, DataPlan plan, Stream output, CancellationToken cancellation)
    {
        // Not disposed: the file below it still has to be flushed to disk.
        var buffered = new BufferedStream(output, 1 << 16);
        ModelExpander.Write(slim, plan.Inline, buffered, cancellation);
        buffered.Flush();
    }

    private static void WriteExternal(DataPlan plan, Stream output, CancellationToken cancellation)
    {
        byte[] zeros = new byte[DataPlan.AlignmentBytes];
        long position = 0;
        foreach ((long offset, TensorData data) in plan.External)
        {
            output.Write(zeros, 0, (int)(offset - position));
            ModelExpander.CopyTo(data, output, cancellation);
            position = offset + data.LengthBytes;
        }
    }
}
