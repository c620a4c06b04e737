using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Containers.Gguf;

namespace ModelPack.Toolchain;

/// <summary>A GGUF file as the checkpoint that it was made from: tensors under their names there, config.json and tokenizer from the metadata.</summary>
internal static class GgufCheckpoint
{
    /// <summary>Key of the model's metadata under which things are told that a user should know.</summary>
    public const string Note = "modelpack.gguf.note";

    /// <summary>The checkpoint.</summary>
    /// <param name="imported">The file as its container reads it.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP1502: an architecture that is not read; <see cref="Plain"/> is what is left. MP1520, MP1521, MP4110: metadata, vocabulary or tensors are wrong.</exception>
    public static Model Of(ImportedModel imported, CancellationToken cancellation)
    {
        MappedFile file = imported.Files[0];
        GgufPairs pairs = GgufPairs.Read(file, cancellation);
        string name = pairs.Text("general.architecture") ?? throw pairs.Wrong("general.architecture", "text");
        if (GgufArchitecture.Find(name) is not GgufArchitecture architecture)
        {
            throw new ModelPackException(ErrorCodes.UnknownArchitecture, $"graphs are not built for the architecture '{name}' of llama.cpp; there are: {string.Join(", ", GgufArchitecture.Names)}", file.Path);
        }

        Dictionary<string, Tensor> tensors = imported.Model.Graph.Initializers.ToDictionary(t => t.Name, StringComparer.Ordinal);
        GgufConfig config = GgufConfig.Read(pairs, name, architecture, tensors);
        var notes = new List<KeyValuePair<string, string>>();
        ImmutableArray<Tensor> weights = [.. imported.Model.Graph.Initializers.Where(t => !config.Used.Contains(t.Name) && !IsFactor(t.Name, tensors)).Select(t => Weight(t, architecture, config.HeadDim, tensors, cancellation))];
        var files = ImmutableArray.CreateBuilder<CarriedFile>();
        files.Add(File("config.json", config.Json));
        if (GgufVocabulary.Read(pairs, config.Vocabulary, out string? why) is GgufVocabulary vocabulary)
        {
            files.Add(File("tokenizer.json", vocabulary.Tokenizer));
            files.Add(File("tokenizer_config.json", vocabulary.Settings));
        }
        else
        {
            notes.Add(KeyValuePair.Create(Note, $"{why}: the tokenizer is left out, so the model runs on token ids alone"));
        }

        if (Dequantized(weights) is string dequantized)
        {
            notes.Add(KeyValuePair.Create(Note, dequantized));
        }

        return new Model
        {
            Kind = ModelKind.Checkpoint,
            Graph = new Graph { Initializers = weights },
            Files = files.ToImmutable(),
            Metadata = [.. notes],
        };
    }

    /// <summary>The tensors alone, under the names of the file.</summary>
    /// <exception cref="ModelPackException">MP4110.</exception>
    public static Model Plain(ImportedModel imported)
    {
        ImmutableArray<Tensor> weights = [.. imported.Model.Graph.Initializers.Select(t => GgufWeights.Ours(t, t.Name))];
        return imported.Model with
        {
            Graph = imported.Model.Graph with { Initializers = weights },
            Metadata = Dequantized(weights) is string note ? [.. imported.Model.Metadata, KeyValuePair.Create(Note, note)] : imported.Model.Metadata,
        };
    }

    /// <summary>A scale of a whole tensor beside its codes.</summary>
    private static bool IsFactor(string name, Dictionary<string, Tensor> tensors) => name.EndsWith(".scale", StringComparison.Ordinal) && IsNvfp4(tensors.GetValueOrDefault(Path.ChangeExtension(name, ".weight")));

    private static bool IsNvfp4(Tensor? tensor) => tensor?.Encoding is DenseEncoding { Format.Id: "gguf-nvfp4" };

    private static Tensor Weight(Tensor tensor, GgufArchitecture architecture, int headDim, Dictionary<string, Tensor> tensors, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        Func<long, long>? rows = architecture.Rows(tensor.Name, headDim);
        long count = tensor.Shape.Rank == 1 ? tensor.Shape[0] : tensor.Shape.Rows;
        if (rows is not null && count % headDim != 0)
        {
            throw new ModelPackException(ErrorCodes.WeightShape, $"has {count} rows, which are no whole heads of {headDim}", tensor: tensor.Name);
        }

        float factor = IsNvfp4(tensor) && tensors.TryGetValue(Path.ChangeExtension(tensor.Name, ".scale"), out Tensor? scale) ? Number(scale) : 1;
        Tensor weight = GgufWeights.Ours(tensor, architecture.Name(tensor.Name) ?? tensor.Name, rows, factor);
        return architecture.GainsLessOne && weight.Name.EndsWith("norm.weight", StringComparison.Ordinal) ? LessOne(weight) : weight;
    }

    private static float Number(Tensor scale) => scale is { DType: DType.F32, Shape.ElementCount: 1 } && scale.TryGetRawData(out TensorData data)
        ? BitConverter.ToSingle(data.ToArray())
        : throw new ModelPackException(ErrorCodes.QuantizedWeight, $"is {scale.DType.Name()}{scale.Shape}, not one f32 number", tensor: scale.Name);

    /// <summary>llama.cpp's converter adds one to gains so that its norms are those of all other models.</summary>
    private static Tensor LessOne(Tensor weight)
    {
        if (weight.DType != DType.F32 || !weight.TryGetRawData(out TensorData data))
        {
            throw new ModelPackException(ErrorCodes.WeightDType, $"is {weight.DType.Name()}; gains of norms are f32 in GGUF files", tensor: weight.Name);
        }

        return Tensor.Raw(weight.Name, DType.F32, weight.Shape, new ComputedRows(weight.Shape.ElementCount, sizeof(float), (first, count, destination) =>
        {
            data.Read(first * sizeof(float), destination);
            foreach (ref float gain in MemoryMarshal.Cast<byte, float>(destination))
            {
                gain -= 1;
            }
        }));
    }

    private static string? Dequantized(ImmutableArray<Tensor> weights)
    {
        string[] types = [.. weights.Select(t => t.TryGetRawData(out TensorData data) && data is GgufBlockData blocks ? blocks.Type : null).OfType<string>()];
        return types.Length == 0 ? null : string.Create(CultureInfo.InvariantCulture, $"{types.Length} tensors of type {string.Join(", ", types.Distinct().Order(StringComparer.Ordinal))} have no format of ours and are taken as the values they mean, in f32");
    }

    private static CarriedFile File(string name, JsonObject json) => new(name, TensorData.FromBytes(GgufJson.Write(json)));
}
