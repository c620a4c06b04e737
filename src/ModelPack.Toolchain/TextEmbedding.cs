using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Runtime.Embedding;
using ModelPack.Runtime.Generation;

namespace ModelPack.Toolchain;

/// <summary>Makes vectors of texts.</summary>
public static class TextEmbedding
{
    private const string FileName = "embeddings.npy";

    /// <summary>Makes vectors of texts.</summary>
    /// <param name="model">An artifact of a checkpoint folder of an encoder, or such a folder.</param>
    /// <param name="texts">The texts.</param>
    /// <param name="outputFolder">Folder for the vectors as embeddings.npy, f32 [texts, dimensions]; null to write none.</param>
    /// <param name="threads">Threads of a run; 0 means all cores.</param>
    /// <param name="weights">Where weights of artifacts are kept; null: in memory.</param>
    /// <param name="cancellation">Stops between two runs.</param>
    /// <exception cref="ModelPackException">The model cannot be opened, is no encoder, or has no usable tokenizer.</exception>
    public static EmbedResult Embed(string model, IReadOnlyList<string> texts, string? outputFolder = null, int threads = 0, WeightStorage? weights = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        long start = Stopwatch.GetTimestamp();
        using TextEncoder encoder = Open(model, WeightStorage.Options(threads, weights));
        double load = Stopwatch.GetElapsedTime(start).TotalSeconds;
        start = Stopwatch.GetTimestamp();
        IReadOnlyList<float[]> vectors = encoder.Embed(texts, cancellation: cancellation);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return new EmbedResult
        {
            Model = model,
            Dimensions = encoder.Dimensions,
            Pooling = string.Join('+', encoder.Poolings.Select(p => JsonNamingPolicy.SnakeCaseLower.ConvertName(p.ToString()))),
            DenseLayers = encoder.DenseLayers,
            Normalized = encoder.Normalized,
            Embeddings = [.. texts.Select((text, i) => new EmbeddedText(text, encoder.Tokenize(text).Length, vectors[i]))],
            File = outputFolder is null ? null : Save(outputFolder, vectors, encoder.Dimensions, cancellation),
            Seconds = seconds,
            LoadSeconds = load,
        };
    }

    private static TextEncoder Open(string path, ModelSessionOptions options) => Directory.Exists(path)
        ? TextEncoder.Create(ModelInput.Open(path, options, GraphForm.Full), ModelInput.Files(path, TextGenerator.MaxFileBytes))
        : TextEncoder.Open(path, options);

    private static string Save(string folder, IReadOnlyList<float[]> vectors, int dimensions, CancellationToken cancellation)
    {
        Directory.CreateDirectory(folder);
        string file = Path.Combine(folder, FileName);
        byte[] values = MemoryMarshal.AsBytes<float>(vectors.SelectMany(v => v).ToArray()).ToArray();
        NpyFile.Write(file, DType.F32, new Shape(vectors.Count, dimensions), TensorData.FromBytes(values), cancellation);
        return file;
    }
}
