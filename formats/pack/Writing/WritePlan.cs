using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Numbers;

namespace ModelPack.Pack;

/// <summary>Everything that is decided before the first byte is written: which streams there are, who shares them, how they are cut into chunks.</summary>
internal sealed class WritePlan
{
    private const long MaxColumns = 1 << 28;
    private const int MaxDepth = 16;

    /// <summary>All control characters but tabulator, line feed, form feed and carriage return.</summary>
    private static readonly SearchValues<byte> BinaryOnly = SearchValues.Create([.. Enumerable.Range(0, 32).Where(c => c is not (9 or 10 or 12 or 13)).Select(c => (byte)c), 127]);

    private readonly CodecPolicy _policy;
    private readonly ContentIdentity _identity = new();
    private readonly HashSet<string> _names = new(StringComparer.Ordinal) { PackLayout.ManifestName, PackLayout.IndexName, PackLayout.RootName };
    private readonly Dictionary<(int Content, int ChunkBytes), StreamPlan> _copied = [];
    private readonly Dictionary<string, StreamPlan[]> _encoded = new(StringComparer.Ordinal);
    private readonly Dictionary<StreamPlan, string> _owners = [];

    /// <exception cref="ModelPackException">MP4001, MP4003, MP1020, MP1021, MP1022.</exception>
    public WritePlan(PackContent content, CodecPolicy policy)
    {
        _policy = policy;
        CheckNames(content);
        foreach (PackTensorContent tensor in content.Tensors)
        {
            try
            {
                Tensors.Add(Plan(tensor));
            }
            catch (ModelPackException e) when (e.Tensor is null)
            {
                throw new ModelPackException(e.Code, e.Message, e.Path, tensor.Name, innerException: e);
            }
        }

        foreach ((string name, TensorData data) in content.Blobs)
        {
            Blobs.Add((name, Copy(name, PackLayout.BlobPrefix + name, DType.U8, ChunkOf(data), data)));
        }
    }

    /// <summary>All streams in the order they are written.</summary>
    public List<StreamPlan> Streams { get; } = [];

    /// <summary>The work, in the order it is written.</summary>
    public List<EncodeJob> Jobs { get; } = [];

    public List<PlannedTensor> Tensors { get; } = [];

    public List<(string Name, StreamPlan Stream)> Blobs { get; } = [];

    private static void CheckNames(PackContent content)
    {
        var tensors = new HashSet<string>(StringComparer.Ordinal);
        foreach (PackTensorContent tensor in content.Tensors)
        {
            if (!tensors.Add(tensor.Name))
            {
                throw new ModelPackException(ErrorCodes.PackDuplicateName, "there is another tensor of this name", tensor: tensor.Name);
            }
        }

        var blobs = new HashSet<string>(StringComparer.Ordinal);
        foreach ((string name, _) in content.Blobs)
        {
            if (!blobs.Add(name))
            {
                throw new ModelPackException(ErrorCodes.PackDuplicateName, $"there is another blob named '{name}'");
            }
        }
    }

    /// <summary>Rows per tile: the widest stream's chunk comes near 1 MiB.</summary>
    private static long TileRows(IBoundNumberFormat format)
    {
        long widest = 1;
        foreach (StreamLayout layout in format.Streams)
        {
            widest = Math.Max(widest, layout.BytesPerRow);
        }

        if (widest > PackLayout.MaxChunkBytes || format.Shape.Columns > MaxColumns)
        {
            throw new ModelPackException(ErrorCodes.PackRowTooLong, $"a row of {format.Shape.Columns} values is too long for '{format.Spec}' (limit {MaxColumns})");
        }

        return Math.Clamp(PackLayout.ChunkBytes / widest, 1, Math.Max(1, format.Shape.Rows));
    }

    private PlannedTensor Plan(PackTensorContent tensor)
    {
        if (tensor.Shape != tensor.Encoding.Shape)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"has shape {tensor.Shape} but its encoding has {tensor.Encoding.Shape}");
        }

        int before = Streams.Count;
        int jobsBefore = Jobs.Count;
        PlannedEncoding encoding = Plan(tensor.Name, "", tensor.Encoding, 0, tensor.Records);
        string? sharedWith = Streams.Count == before ? encoding.AllStreams().Select(s => _owners[s]).FirstOrDefault(o => o != tensor.Name) : null;
        ImmutableArray<StreamPlan> own = [.. Streams.Skip(before)];
        return new PlannedTensor(tensor, encoding, own, [.. Jobs.Skip(jobsBefore).OfType<QuantizeJob>()], sharedWith);
    }

    private PlannedEncoding Plan(string tensor, string path, WeightEncoding encoding, int depth, RecordLayout? records = null)
    {
        if (depth > MaxDepth)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"the encoding tree is deeper than {MaxDepth}");
        }

        switch (encoding)
        {
            case StructuredEncoding structured:
                ModelPack.Structures.Structures.Get(structured.Structure.Id).Validate(structured);
                var components = new PlannedEncoding[structured.Components.Length];
                for (int i = 0; i < components.Length; i++)
                {
                    components[i] = Plan(tensor, string.Create(CultureInfo.InvariantCulture, $"{path}{i}."), structured.Components[i], depth + 1);
                }

                return new PlannedEncoding.Structured(structured.Structure, structured.Shape, components);
            case DenseEncoding { Source: WeightEncoding source } pending:
                EncodingValues.CheckShape(pending, source);
                return Encode(tensor, path, pending, source);
            case DenseEncoding dense when RawEncodings.TryGet(dense, out DType dtype, out TensorData data):
                RawEncodings.CheckLength(dtype, dense.Shape, data.LengthBytes);
                StreamPlan values = Copy(tensor, $"{tensor}#{path}values", dtype, ChunkOf(records), data, records);
                return new PlannedEncoding.Dense(dense.Format, dense.Shape, [("values", values)], 0);
            case DenseEncoding dense:
                return CopyEncoded(tensor, path, dense, records);
            default:
                throw new ModelPackException(ErrorCodes.BadEncoding, $"an encoding of kind {encoding.GetType().Name} cannot be stored");
        }
    }

    private PlannedEncoding.Dense CopyEncoded(string tensor, string path, DenseEncoding dense, RecordLayout? records)
    {
        IBoundNumberFormat format = StreamChecks.Bind(dense);
        long tileRows = TileRows(format);
        var streams = new (string, StreamPlan)[dense.Streams.Length];
        for (int s = 0; s < streams.Length; s++)
        {
            StreamLayout layout = format.Streams[s];
            EncodedStream stream = dense.Streams[s];
            streams[s] = (stream.Role, Copy(tensor, $"{tensor}#{path}{stream.Role}", layout.ElementType, checked((int)(tileRows * layout.BytesPerRow)), stream.Data, records));
        }

        return new PlannedEncoding.Dense(format.Spec, dense.Shape, streams, tileRows);
    }

    private PlannedEncoding.Dense Encode(string tensor, string path, DenseEncoding pending, WeightEncoding source)
    {
        UnitSpec spec = NumberFormats.Get(pending.Format.Id) is ITensorwideFormat tensorwide ? tensorwide.Complete(pending.Format, EncodingValues.Open(source)) : pending.Format;
        IBoundNumberFormat format = NumberFormats.Bind(spec, pending.Shape);
        long tileRows = TileRows(format);
        string key = $"{format.Spec}{pending.Shape} < {Key(source)}";
        if (!_encoded.TryGetValue(key, out StreamPlan[]? streams))
        {
            streams = new StreamPlan[format.Streams.Count];
            for (int s = 0; s < streams.Length; s++)
            {
                StreamLayout layout = format.Streams[s];
                long bytes = checked(format.Shape.Rows * layout.BytesPerRow);
                streams[s] = Add(tensor, $"{tensor}#{path}{layout.Role}", layout.ElementType, bytes, checked((int)(tileRows * layout.BytesPerRow)));
            }

            _ = EncodingValues.Open(source);
            Jobs.Add(new QuantizeJob(tensor, streams, format, source, tileRows, _policy));
            _encoded.Add(key, streams);
        }

        return new PlannedEncoding.Dense(format.Spec, pending.Shape, [.. streams.Select((s, i) => (format.Streams[i].Role, s))], tileRows);
    }

    private string Key(WeightEncoding encoding) => ContentIdentity.Text(encoding, data => _identity.Of(data).ToString(CultureInfo.InvariantCulture));

    /// <summary>Chunks end where records end.</summary>
    private static int ChunkOf(RecordLayout? records) => records is null ? PackLayout.ChunkBytes : PackLayout.ChunkBytes / records.RecordBytes * records.RecordBytes;

    private static int ChunkOf(TensorData blob) => blob.LengthBytes > PackLayout.ChunkBytes && IsText(blob) ? PackLayout.TextChunkBytes : PackLayout.ChunkBytes;

    /// <summary>True when samples hold none of the control characters that text does without and binary data does not.</summary>
    private static bool IsText(TensorData data) => CopyJob.SampleOf(data).TrueForAll(piece => piece.AsSpan().IndexOfAny(BinaryOnly) < 0);

    private StreamPlan Copy(string owner, string name, DType elementType, int chunkBytes, TensorData data, RecordLayout? records = null)
    {
        if (data.LengthBytes == 0)
        {
            StreamPlan empty = Add(owner, name, elementType, 0, chunkBytes);
            Jobs.Add(new CopyJob(owner, empty, data, _policy));
            return empty;
        }

        (int, int) key = (_identity.Of(data), chunkBytes);
        if (!_copied.TryGetValue(key, out StreamPlan? stream))
        {
            stream = Add(owner, name, elementType, data.LengthBytes, chunkBytes);
            Jobs.Add(new CopyJob(owner, stream, data, _policy, records));
            _copied.Add(key, stream);
        }

        return stream;
    }

    private StreamPlan Add(string owner, string name, DType elementType, long rawBytes, int chunkBytes)
    {
        string unique = name;
        for (int i = 2; !_names.Add(unique); i++)
        {
            unique = string.Create(CultureInfo.InvariantCulture, $"{name}~{i}");
        }

        var stream = new StreamPlan(unique, elementType, rawBytes, chunkBytes) { Index = Streams.Count };
        Streams.Add(stream);
        _owners.Add(stream, owner);
        return stream;
    }
}
