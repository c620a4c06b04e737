using System.Diagnostics.CodeAnalysis;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <content>Artifacts that hold differences from another file.</content>
public sealed partial class PackReader
{
    private DeltaBase? _base;

    /// <summary>True when the artifact holds differences and was opened without their base: its checksums can be checked, but tensors stored as differences have no values.</summary>
    public bool NeedsBase => _base is null && Blobs.ContainsKey(BaseRecord.Blob);

    /// <summary>Opens an artifact that holds differences, with the base they were taken from. The base is read once to check that it is the right one.</summary>
    /// <param name="path">The artifact.</param>
    /// <param name="basePath">The base: the file, the folder of a checkpoint, or an artifact made by <c>pack</c> that holds it; null to open the artifact without.</param>
    /// <param name="cancellation">Stops the check.</param>
    /// <exception cref="ModelPackException">
    /// MP1316 another file than the base, MP1317 the artifact's record of its base is damaged, MP1318 the artifact holds no differences; otherwise as <see cref="Open(string)"/>.
    /// </exception>
    [SuppressMessage("Reliability", "CA2000:Dispose objects before losing scope", Justification = "The reader owns its base from the moment both exist.")]
    public static PackReader Open(string path, string? basePath, CancellationToken cancellation = default)
    {
        PackReader reader = Open(path);
        if (basePath is null)
        {
            return reader;
        }

        try
        {
            BaseRecord record = BaseRecord.Read(reader)
                ?? throw new ModelPackException(ErrorCodes.ArtifactNotADelta, $"holds no differences, so '{basePath}' is not its base", path);
            reader._base = DeltaBase.Open(record, basePath, cancellation);
            reader.Resolve(record);
            return reader;
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    /// <summary>The bytes that a tensor of a packed file stands for in that file.</summary>
    /// <exception cref="ModelPackException">MP1315: they are differences and the base is not there.</exception>
    internal TensorData FileBytes(PackTensor tensor)
    {
        if (tensor.Encoding is StructuredEncoding { Structure.Id: Delta.Id })
        {
            string of = BaseRecord.Read(this) is BaseRecord record ? $" from '{record.Files[0].Path}' ({record.Files[0].LengthBytes} bytes, SHA-256 {record.Files[0].Sha256})" : "";
            throw new ModelPackException(ErrorCodes.ArtifactBaseMissing, $"holds only the differences{of}: that base is needed (--base)", File.Path);
        }

        return RawEncodings.TryGet(tensor.Encoding, out _, out TensorData data) ? data
            : tensor.Encoding is StructuredEncoding ? DenseTensorData.Of(tensor.DType, tensor.Encoding)
            : tensor.Streams is [PackTensorStream only] ? only.Stream.Data
            : new JoinedData([.. tensor.Streams.Select(s => s.Stream.Data)]);
    }

    /// <summary>Puts the restored tensors in the place of the differences.</summary>
    private void Resolve(BaseRecord record)
    {
        PackTensor[] tensors = [.. Tensors];
        foreach (BaseRecord.TensorEntry entry in record.Tensors)
        {
            PackTensor tensor = tensors[entry.Tensor];
            PackStream stream = tensor.Streams[0].Stream;
            int width = Delta.TryElementType(tensor.DType, out DType difference) ? Delta.Width(difference) : 0;
            bool fits = tensor.Encoding is StructuredEncoding { Components: [DenseEncoding component] } && component.Format.Id == difference.Name();
            if (width == 0 || !fits || stream.LengthBytes % width != 0)
            {
                throw new ModelPackException(ErrorCodes.ArtifactBaseRecord, $"differences of {stream.ElementType.Name()} do not make {tensor.DType.Name()}", File.Path, tensor.Name);
            }

            TensorData against = _base!.Files[entry.File].Data.Slice(entry.OffsetBytes, stream.LengthBytes);
            TensorData restored = stream.LengthBytes == 0 ? TensorData.Empty : new DifferenceData(stream.Data, against, width, restore: true);
            tensors[entry.Tensor] = tensor with { Encoding = DenseEncoding.Raw(tensor.DType, tensor.Shape, restored) };
        }

        Tensors = tensors;
        foreach (PackTensor tensor in tensors)
        {
            _byName[tensor.Name] = tensor;
        }
    }
}
