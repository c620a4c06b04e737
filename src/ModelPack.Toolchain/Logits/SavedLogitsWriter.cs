using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>
/// Writes the predictions of a model into a safetensors file, row by row as they are made: <c>losses</c> F64 [predictions] (negative log
/// likelihood of the token that came, nats), <c>likeliest</c> I32 [predictions], <c>log_probabilities</c> F16 [predictions, vocabulary] and
/// <c>tokens</c> U16 [windows, window]; windows in file order, of each the predictions of its tokens 1 to window - 1. The metadata hold the
/// format, the window, and the XXH3-64 hash of the tokens' bytes.
/// </summary>
/// <param name="stream">An empty file.</param>
/// <param name="tokens">What is predicted.</param>
/// <param name="window">Tokens per window.</param>
internal sealed class SavedLogitsWriter(Stream stream, TokenFile tokens, int window) : IPredictionWriter
{
    public const string FormatKey = "format";
    public const string Format = "modelpack.logits.1";
    public const string WindowKey = "window";
    public const string HashKey = "tokens_xxh3";
    public const string LogProbabilities = "log_probabilities";
    public const string Losses = "losses";
    public const string Likeliest = "likeliest";
    public const string Tokens = "tokens";

    private const int TileTokens = 1 << 16;

    private readonly long _windows = tokens.Count / window;
    private readonly ArrayBufferWriter<byte> _losses = new();
    private readonly ArrayBufferWriter<byte> _likeliest = new();
    private long _smallStart;

    private long Predictions => _windows * (window - 1);

    /// <summary>The hash of tokens that is kept beside them: 16 digits, base 16.</summary>
    public static string Hash(TensorData tokens)
    {
        var hash = new XxHash3();
        byte[] tile = new byte[TileTokens];
        for (long at = 0; at < tokens.LengthBytes; at += tile.Length)
        {
            Span<byte> part = tile.AsSpan(0, (int)Math.Min(tile.Length, tokens.LengthBytes - at));
            tokens.Read(at, part);
            hash.Append(part);
        }

        return Text(hash);
    }

    public void Write(ReadOnlySpan<Half> logProbabilities, int vocabulary, ReadOnlySpan<int> likeliest, ReadOnlySpan<double> losses)
    {
        if (_smallStart == 0)
        {
            Begin(vocabulary);
        }

        stream.Write(MemoryMarshal.AsBytes(logProbabilities));
        _losses.Write(MemoryMarshal.AsBytes(losses));
        _likeliest.Write(MemoryMarshal.AsBytes(likeliest));
    }

    /// <summary>Writes what goes around the rows.</summary>
    public void Complete()
    {
        Copy((part, _) => stream.Write(part));
        stream.Position = _smallStart;
        stream.Write(_losses.WrittenSpan);
        stream.Write(_likeliest.WrittenSpan);
    }

    private static string Text(XxHash3 hash) => hash.GetCurrentHashAsUInt64().ToString("x16", CultureInfo.InvariantCulture);

    /// <summary>Writes the header and goes to where the rows begin.</summary>
    private void Begin(int vocabulary)
    {
        var hash = new XxHash3();
        Copy((part, _) => hash.Append(part));
        StringBuilder json = new StringBuilder().Append(CultureInfo.InvariantCulture, $$"""{"__metadata__":{"{{FormatKey}}":"{{Format}}","{{WindowKey}}":"{{window}}","{{HashKey}}":"{{Text(hash)}}"}""");
        long end = 0;
        void Tensor(string name, string dtype, string shape, long bytes)
        {
            json.Append(CultureInfo.InvariantCulture, $$""","{{name}}":{"dtype":"{{dtype}}","shape":[{{shape}}],"data_offsets":[{{end}},{{end + bytes}}]}""");
            end += bytes;
        }

        Tensor(Losses, "F64", $"{Predictions}", Predictions * sizeof(double));
        Tensor(Likeliest, "I32", $"{Predictions}", Predictions * sizeof(int));
        long rows = end;
        Tensor(LogProbabilities, "F16", $"{Predictions},{vocabulary}", checked(Predictions * vocabulary * sizeof(ushort)));
        Tensor(Tokens, "U16", $"{_windows},{window}", _windows * window * sizeof(ushort));
        json.Append('}');
        json.Append(' ', (8 - (json.Length % 8)) % 8);
        byte[] header = new byte[sizeof(ulong) + json.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)json.Length);
        Encoding.ASCII.GetBytes(json.ToString(), header.AsSpan(sizeof(ulong)));
        stream.Write(header);
        _smallStart = header.Length;
        stream.Position = _smallStart + rows;
    }

    /// <summary>Passes on the bytes of all tokens of whole windows.</summary>
    private void Copy(ReadOnlySpanAction<byte, int> take)
    {
        ushort[] tile = new ushort[TileTokens];
        for (long at = 0; at < _windows * window; at += tile.Length)
        {
            Span<ushort> part = tile.AsSpan(0, (int)Math.Min(tile.Length, (_windows * window) - at));
            tokens.Read(at, part);
            take(MemoryMarshal.AsBytes(part), 0);
        }
    }
}
