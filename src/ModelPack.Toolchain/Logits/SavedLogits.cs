using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>
/// Predictions of a reference, read from the file that <see cref="SavedLogitsWriter"/> writes; rows are read as they are needed.
/// Perplexity and the likeliest words are those of the model that wrote them; divergence is that of log probabilities in 16 bits.
/// </summary>
internal sealed class SavedLogits : IReferencePredictions, IDisposable
{
    /// <summary>How far probabilities may be from adding up to 1: rounding to 16 bits changes log p by up to 2^-11 of itself, on average over p by less than 0.006.</summary>
    private const double MassTolerance = 0.01;

    private readonly ImportedModel _file;
    private readonly string _path;
    private readonly TensorData _rows;
    private readonly double[] _losses;
    private readonly int[] _likeliest;
    private readonly TensorData _tokens;
    private readonly int _window;
    private readonly int _vocabulary;

    private SavedLogits(ImportedModel file, string path)
    {
        (_file, _path) = (file, path);
        Dictionary<string, string> metadata = file.Model.Metadata.ToDictionary(m => m.Key, m => m.Value, StringComparer.Ordinal);
        if (!IsSaved(metadata))
        {
            throw Bad($"its metadata do not say {SavedLogitsWriter.FormatKey} {SavedLogitsWriter.Format}");
        }

        if (!int.TryParse(metadata.GetValueOrDefault(SavedLogitsWriter.WindowKey), NumberStyles.None, CultureInfo.InvariantCulture, out _window) || _window < 2)
        {
            throw Bad($"'{SavedLogitsWriter.WindowKey}' in its metadata is not a number of tokens");
        }

        Tensor rows = Find(SavedLogitsWriter.LogProbabilities, DType.F16);
        if (rows.Shape.Rank != 2 || rows.Shape[1] is < 1 or > int.MaxValue)
        {
            throw Bad($"log probabilities have shape {rows.Shape}, not [predictions, vocabulary]");
        }

        _vocabulary = (int)rows.Shape[1];
        long predictions = rows.Shape[0];
        long windows = predictions / (_window - 1);
        if (predictions == 0 || predictions % (_window - 1) != 0 || windows > int.MaxValue / _window)
        {
            throw Bad($"{predictions} predictions are not {_window - 1} of each window");
        }

        _rows = Data(rows, predictions * _vocabulary);
        _losses = MemoryMarshal.Cast<byte, double>(Data(Find(SavedLogitsWriter.Losses, DType.F64), predictions).ToArray(int.MaxValue)).ToArray();
        _likeliest = MemoryMarshal.Cast<byte, int>(Data(Find(SavedLogitsWriter.Likeliest, DType.I32), predictions).ToArray(int.MaxValue)).ToArray();
        _tokens = Data(Find(SavedLogitsWriter.Tokens, DType.U16), windows * _window);
        if (SavedLogitsWriter.Hash(_tokens) != metadata.GetValueOrDefault(SavedLogitsWriter.HashKey))
        {
            throw Bad($"its tokens are not those of '{SavedLogitsWriter.HashKey}' in its metadata: the file is damaged");
        }
    }

    public bool FreeBatch => true;

    /// <summary>Opens a file of saved logits; null for anything else that could be a model.</summary>
    /// <exception cref="ModelPackException">MP5060: a safetensors file that is none or is damaged; MP11xx: it is no whole safetensors file.</exception>
    public static SavedLogits? TryOpen(string path, CancellationToken cancellation)
    {
        IContainer container = Containers.Containers.Get("safetensors");
        if (!File.Exists(path) || !container.Recognizes(path))
        {
            return null;
        }

        ImportedModel file = container.Import(path, cancellation);
        try
        {
            // Without the extension it may be an artifact, which looks the same from outside.
            bool saved = path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase) || IsSaved(file.Model.Metadata.ToDictionary(m => m.Key, m => m.Value, StringComparer.Ordinal));
            SavedLogits? logits = saved ? new SavedLogits(file, path) : null;
            if (logits is null)
            {
                file.Dispose();
            }

            return logits;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Refuses other tokens than those that were predicted.</summary>
    /// <exception cref="ModelPackException">MP5061, with what differs.</exception>
    public void Check(TokenFile tokens, int window)
    {
        ModelPackException Other(string detail) => new(ErrorCodes.LogitsOfOtherTokens, detail, _path);
        if (window != _window)
        {
            throw Other($"saved with windows of {_window} tokens, not {window} (--window {_window})");
        }

        long count = tokens.Count / window * window;
        long saved = _tokens.LengthBytes / sizeof(ushort);
        byte[] expected = new byte[window * sizeof(ushort)];
        ushort[] actual = new ushort[window];
        for (long at = 0; at < Math.Min(count, saved); at += window)
        {
            _tokens.Read(at * sizeof(ushort), expected);
            tokens.Read(at, actual);
            ReadOnlySpan<ushort> ids = MemoryMarshal.Cast<byte, ushort>(expected);
            int same = ids.CommonPrefixLength(actual);
            if (same < window)
            {
                throw Other($"saved of other tokens: token {at + same} is {ids[same]} there and {actual[same]} here");
            }
        }

        if (count != saved)
        {
            throw Other($"saved of {saved} tokens ({saved / window} windows), not {count}");
        }
    }

    public IReferenceBatch Predict(ushort[] ids, long firstWindow, int windows) => new Batch(this, firstWindow * (_window - 1));

    public void Dispose() => _file.Dispose();

    private static bool IsSaved(Dictionary<string, string> metadata) => metadata.GetValueOrDefault(SavedLogitsWriter.FormatKey) == SavedLogitsWriter.Format;

    private Tensor Find(string name, DType dtype) =>
        _file.Model.Graph.Initializers.FirstOrDefault(t => t.Name == name && t.DType == dtype) ?? throw Bad($"it has no tensor '{name}' of {dtype.Name()}");

    private TensorData Data(Tensor tensor, long elements) => tensor.Shape.ElementCount == elements && tensor.TryGetRawData(out TensorData data)
        ? data
        : throw Bad($"'{tensor.Name}' has shape {tensor.Shape} where {elements} elements are needed");

    private ModelPackException Bad(string why) => new(ErrorCodes.BadSavedLogits, $"not saved logits: {why}", _path);

    private sealed class Batch(SavedLogits saved, long first) : IReferenceBatch
    {
        public int Vocabulary => saved._vocabulary;

        public Score Compare(int prediction, int position, ReadOnlySpan<float> logits, double mass, int next)
        {
            long row = first + prediction;
            float[] floats = ArrayPool<float>.Shared.Rent(Vocabulary);
            Half[] halves = ArrayPool<Half>.Shared.Rent(Vocabulary);
            try
            {
                saved._rows.Read(row * Vocabulary * sizeof(ushort), MemoryMarshal.AsBytes(halves.AsSpan(0, Vocabulary)));
                Span<float> expected = floats.AsSpan(0, Vocabulary);
                for (int i = 0; i < expected.Length; i++)
                {
                    expected[i] = (float)halves[i];
                }

                double expectedMass = LogSumExp.Of(expected);
                if (Math.Abs(expectedMass) > MassTolerance)
                {
                    throw saved.Bad($"probabilities of prediction {row} add up to {Math.Exp(expectedMass):G4}: the file is damaged");
                }

                return new Score(
                    0,
                    Divergence.Of(expected, expectedMass, logits, mass),
                    AgreementMeter.IndexOfMax(logits) == saved._likeliest[row] ? 1 : 0,
                    saved._losses[row]);
            }
            finally
            {
                ArrayPool<float>.Shared.Return(floats);
                ArrayPool<Half>.Shared.Return(halves);
            }
        }

        public void Dispose()
        {
        }
    }
}
