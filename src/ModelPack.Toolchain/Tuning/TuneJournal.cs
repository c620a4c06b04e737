using System.Globalization;
using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ModelPack.Toolchain;

/// <summary>Measured losses on disk, a line each: what was measured once, for the same model and data, is not measured again, however the search before ended.</summary>
internal sealed class TuneJournal : IDisposable
{
    private readonly Dictionary<string, double> _known = new(StringComparer.Ordinal);
    private readonly StreamWriter? _writer;

    private TuneJournal(StreamWriter? writer) => _writer = writer;

    /// <summary>Opens a journal; lines that make no sense (the end of a killed run) are left out.</summary>
    /// <param name="path">The file, made when missing; null: nothing is kept.</param>
    public static TuneJournal Open(string? path)
    {
        if (path is null)
        {
            return new TuneJournal(null);
        }

        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            string[] lines = File.Exists(path) ? File.ReadAllLines(path) : [];
            var journal = new TuneJournal(new StreamWriter(path, append: true) { NewLine = "\n", AutoFlush = true });
            foreach (string line in lines)
            {
                journal.Take(line);
            }

            if (lines.Length > 0)
            {
                journal._writer!.WriteLine(); // After half a line.
            }

            return journal;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new TuneJournal(null); // The same search, only not resumable.
        }
    }

    /// <summary>A loss as it was measured before, or as it is measured now.</summary>
    /// <param name="what">What was run, in words that say all that the loss depends on.</param>
    /// <param name="measure">Measures.</param>
    public double Get(string what, Func<double> measure)
    {
        string key = Convert.ToHexStringLower(XxHash128.Hash(Encoding.UTF8.GetBytes(what)));
        if (_known.TryGetValue(key, out double loss))
        {
            return loss;
        }

        // Six digits: more would be noise of the processor, and the choice should not hang on it.
        loss = double.Parse(measure().ToString("g6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        _known[key] = loss;
        _writer?.WriteLine(new JsonObject { ["key"] = key, ["loss"] = loss }.ToJsonString());
        return loss;
    }

    public void Dispose() => _writer?.Dispose();

    private void Take(string line)
    {
        try
        {
            if (JsonNode.Parse(line) is JsonObject entry && entry["key"]?.GetValue<string>() is string key && entry["loss"]?.GetValue<double>() is double loss)
            {
                _known[key] = loss;
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            // Not a line of ours: measured again when needed.
        }
    }
}
