using System.Collections.Immutable;
using System.Text.Json;

namespace ModelPack.Pack;

/// <summary>Turns the manifest into streams, tensors and blobs, and checks that everything fits together.</summary>
internal sealed class ManifestReader
{
    private const int MaxDepth = 16;
    private const int MaxJsonDepth = 64;

    private readonly PackReader _reader;
    private readonly Artifact _artifact;
    private readonly string _path;

    public ManifestReader(PackReader reader, Artifact artifact, string path)
    {
        _reader = reader;
        _artifact = artifact;
        _path = path;
    }

    public ImmutableArray<PackStream> Streams { get; private set; } = [];

    public ImmutableArray<PackTensor> Tensors { get; private set; } = [];

    public ImmutableSortedDictionary<string, TensorData> Blobs { get; private set; } = ImmutableSortedDictionary<string, TensorData>.Empty;

    public ImmutableSortedDictionary<string, string> Metadata { get; private set; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <exception cref="ModelPackException">MP1306, MP1307, MP1308.</exception>
    public void Read()
    {
        try
        {
            UniqueNames.Require(_artifact.Manifest, MaxJsonDepth);
            using JsonDocument json = JsonDocument.Parse(_artifact.Manifest, new JsonDocumentOptions { MaxDepth = MaxJsonDepth });
            JsonElement root = json.RootElement;
            if (root.GetProperty("version"u8).GetInt32() != PackLayout.Version)
            {
                throw Bad("the manifest has another version than the root record");
            }

            Metadata = ReadMetadata(root.GetProperty("metadata"u8));
            ReadStreams(root.GetProperty("streams"u8));
            ReadTensors(root.GetProperty("tensors"u8));
            ReadBlobs(root.GetProperty("blobs"u8));
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException or OverflowException)
        {
            throw new ModelPackException(ErrorCodes.ArtifactManifest, $"the manifest is not what it must be: {e.Message}", _path, innerException: e);
        }
    }

    private static ImmutableSortedDictionary<string, string> ReadMetadata(JsonElement json)
    {
        var builder = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        foreach (JsonProperty property in json.EnumerateObject())
        {
            builder.Add(property.Name, property.Value.GetString() ?? "");
        }

        return builder.ToImmutable();
    }

    private static Shape ReadShape(JsonElement json)
    {
        Span<long> dims = stackalloc long[64];
        int rank = 0;
        foreach (JsonElement d in json.EnumerateArray())
        {
            long dim = d.GetInt64();
            if (rank == dims.Length || dim < 0)
            {
                throw new FormatException("a shape has more than 64 axes or a negative one");
            }

            dims[rank++] = dim;
        }

        return new Shape(dims[..rank]);
    }

    private static string Text(JsonElement json) => json.GetString() ?? throw new FormatException("a text is null");

    private ModelPackException Bad(string detail) => new(ErrorCodes.ArtifactManifest, detail, _path);

    private void ReadStreams(JsonElement json)
    {
        var streams = ImmutableArray.CreateBuilder<PackStream>(json.GetArrayLength());
        long chunk = 0;
        long records = _artifact.Index.Length / PackLayout.ChunkRecordBytes;
        long end = _artifact.Root.HeaderBytes;
        foreach (JsonElement element in json.EnumerateArray())
        {
            string name = Text(element.GetProperty("name"u8));
            long bytes = element.GetProperty("bytes"u8).GetInt64();
            int chunkBytes = element.GetProperty("chunk"u8).GetInt32();
            if (!DTypes.TryParse(Text(element.GetProperty("element"u8)), out DType elementType)
                || bytes < 0
                || (bytes > 0 && chunkBytes is <= 0 or > PackLayout.MaxChunkBytes))
            {
                throw Bad($"stream '{name}' has no valid length, chunk size or element type");
            }

            if (!_artifact.Header.Ranges.TryGetValue(name, out HeaderRange? range) || range.Begin < end)
            {
                throw Bad($"stream '{name}' is not in the header, or not in order");
            }

            var stream = new PackStream(_reader, streams.Count, name, elementType, bytes, chunkBytes) { BeginBytes = range.Begin, FirstChunk = chunk };
            if (stream.ChunkCount > records - chunk)
            {
                throw new ModelPackException(ErrorCodes.ArtifactIndex, $"the chunk index ends before stream '{name}' does", _path);
            }

            end = range.Begin + PlaceChunks(stream, range);
            chunk += stream.ChunkCount;
            streams.Add(stream);
        }

        if (chunk != records || streams.Count + 3 != _artifact.Header.Ranges.Count)
        {
            throw new ModelPackException(ErrorCodes.ArtifactIndex, "the header or the chunk index has entries that belong to no stream", _path);
        }

        Streams = streams.DrainToImmutable();
    }

    /// <summary>Checks the records of a stream and notes what they say about it. Chunks follow each other from the start of the stream's range.</summary>
    /// <returns>Stored bytes.</returns>
    private long PlaceChunks(PackStream stream, HeaderRange range)
    {
        long at = range.Begin;
        Span<int> uses = stackalloc int[256];
        uses.Clear();
        for (long c = 0; c < stream.ChunkCount; c++)
        {
            ChunkRecord record = _artifact.Chunk(stream.FirstChunk + c, _path);
            if (record.OffsetBytes != at || record.RawBytes != stream.RawLength(c) || record.StoredBytes > range.End - at)
            {
                throw new ModelPackException(ErrorCodes.ArtifactIndex, $"chunk {c} of stream '{stream.Name}' is not where or not as long as it must be", _path);
            }

            at += record.StoredBytes;
            uses[record.Codec]++;
        }

        if (range.End - at >= PackLayout.PageAlignment || (stream.ChunkCount > 0 && range.Begin % PackLayout.StreamAlignment != 0))
        {
            throw new ModelPackException(ErrorCodes.ArtifactIndex, $"stream '{stream.Name}' is not aligned, or its range is longer than its chunks", _path);
        }

        stream.StoredBytes = at - range.Begin;
        stream.IsStored = uses[0] == stream.ChunkCount;
        int most = 0;
        for (int i = 1; i < uses.Length; i++)
        {
            most = uses[i] > uses[most] || (most == 0 && uses[i] > 0) ? i : most;
        }

        stream.Codec = ModelPack.Codecs.Codecs.TryGet((byte)most, out ICodec? codec) ? codec.Id : $"codec-{most}";
        return stream.StoredBytes;
    }

    private void ReadTensors(JsonElement json)
    {
        var tensors = ImmutableArray.CreateBuilder<PackTensor>(json.GetArrayLength());
        var names = new HashSet<string>(StringComparer.Ordinal);
        var streams = new List<PackTensorStream>();
        foreach (JsonElement element in json.EnumerateArray())
        {
            string name = Text(element.GetProperty("name"u8));
            if (!names.Add(name) || !DTypes.TryParse(Text(element.GetProperty("dtype"u8)), out DType dtype))
            {
                throw Bad($"tensor '{name}' is there twice, or has an unknown dtype");
            }

            streams.Clear();
            try
            {
                WeightEncoding encoding = ReadEncoding(element.GetProperty("encoding"u8), streams, 0);
                tensors.Add(new PackTensor(name, dtype, encoding.Shape, encoding, [.. streams]));
            }
            catch (ModelPackException e) when (e.Code == ErrorCodes.BadEncoding)
            {
                throw new ModelPackException(ErrorCodes.ArtifactTensor, e.Message, _path, name, innerException: e);
            }
            catch (ModelPackException e) when (e.Tensor is null)
            {
                throw new ModelPackException(e.Code, e.Message, _path, name, innerException: e);
            }
        }

        Tensors = tensors.DrainToImmutable();
    }

    private WeightEncoding ReadEncoding(JsonElement json, List<PackTensorStream> all, int depth)
    {
        if (depth > MaxDepth)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"the encoding tree is deeper than {MaxDepth}");
        }

        Shape shape = ReadShape(json.GetProperty("shape"u8));
        if (json.TryGetProperty("structure"u8, out JsonElement structure))
        {
            var components = ImmutableArray.CreateBuilder<WeightEncoding>();
            foreach (JsonElement component in json.GetProperty("components"u8).EnumerateArray())
            {
                components.Add(ReadEncoding(component, all, depth + 1));
            }

            var structured = new StructuredEncoding(UnitSpec.Parse(Text(structure)), shape, components.ToImmutable());
            ModelPack.Structures.Structures.Get(structured.Structure.Id).Validate(structured);
            return structured;
        }

        var streams = ImmutableArray.CreateBuilder<EncodedStream>();
        var tiled = new List<PackStream>();
        foreach (JsonProperty property in json.GetProperty("streams"u8).EnumerateObject())
        {
            int index = property.Value.GetInt32();
            if ((uint)index >= (uint)Streams.Length)
            {
                throw Bad($"there is no stream {index}");
            }

            tiled.Add(Streams[index]);
            streams.Add(new EncodedStream(property.Name, Streams[index].Data));
            all.Add(new PackTensorStream(property.Name, Streams[index]));
        }

        var dense = new DenseEncoding(UnitSpec.Parse(Text(json.GetProperty("format"u8))), shape, streams.DrainToImmutable());
        Check(dense, tiled, json.TryGetProperty("tile"u8, out JsonElement tile) ? tile.GetInt64() : 0);
        return dense;
    }

    private static void Check(DenseEncoding dense, List<PackStream> streams, long tileRows)
    {
        if (RawEncodings.TryGet(dense, out DType dtype, out TensorData data))
        {
            RawEncodings.CheckLength(dtype, dense.Shape, data.LengthBytes);
            return;
        }

        IBoundNumberFormat format = StreamChecks.Bind(dense);
        for (int s = 0; s < streams.Count; s++)
        {
            if (streams[s].LengthBytes > 0 && (tileRows <= 0 || streams[s].ChunkBytes != tileRows * format.Streams[s].BytesPerRow))
            {
                throw new ModelPackException(ErrorCodes.BadEncoding, $"the chunks of '{streams[s].Name}' do not hold {tileRows} rows");
            }
        }
    }

    private void ReadBlobs(JsonElement json)
    {
        var blobs = ImmutableSortedDictionary.CreateBuilder<string, TensorData>(StringComparer.Ordinal);
        foreach (JsonElement element in json.EnumerateArray())
        {
            string name = Text(element.GetProperty("name"u8));
            int index = element.GetProperty("stream"u8).GetInt32();
            if ((uint)index >= (uint)Streams.Length || !blobs.TryAdd(name, Streams[index].Data))
            {
                throw Bad($"blob '{name}' is there twice, or has no stream {index}");
            }
        }

        Blobs = blobs.ToImmutable();
    }
}
