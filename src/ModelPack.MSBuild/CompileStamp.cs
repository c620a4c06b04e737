using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ModelPack.MSBuild;

/// <summary>
/// What an artifact was made from. It is up to date while its files and those it was made from have the same bytes: files whose length and time are as they were
/// are not read again, unless they were written so shortly before they were looked at that a later change could bear the same time.
/// </summary>
internal sealed record CompileStamp
{
    private static readonly TimeSpan TimeResolution = TimeSpan.FromSeconds(2);

    /// <summary>Files that were read, and folders of which every file counts.</summary>
    public required IReadOnlyList<string> Inputs { get; init; }

    /// <summary>The files among <see cref="Inputs"/> and below them, sorted by path.</summary>
    public required IReadOnlyList<FileState> Files { get; init; }

    /// <summary>Artifact and class, with the length each had.</summary>
    public required IReadOnlyDictionary<string, long> Outputs { get; init; }

    /// <summary>Whether a class was to be written; a model without a graph has none all the same.</summary>
    public bool ClassesAsked { get; init; }

    /// <summary>When the files were looked at, in ticks of UTC.</summary>
    public required long Looked { get; init; }

    /// <summary>Length, time of the last change in ticks of UTC, and SHA-256 of a file.</summary>
    public sealed record FileState(string Path, long Bytes, long Modified, string Sha256);

    /// <summary>Reads all of a set of inputs. Missing ones are left out, so that their appearing is a change.</summary>
    public static CompileStamp Of(IEnumerable<string> inputs, TimeProvider clock, CancellationToken cancellation)
    {
        string[] all = [.. inputs.Distinct(StringComparer.Ordinal)];
        long now = clock.GetUtcNow().Ticks;
        return new CompileStamp { Inputs = all, Files = [.. Expand(all).Select(f => Look(f, cancellation))], Outputs = new Dictionary<string, long>(), Looked = now };
    }

    /// <summary>The stamp beside an artifact; null when there is none that can be read.</summary>
    public static CompileStamp? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(path), StampJson.Default.CompileStamp);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    /// <summary>Written whole or not at all.</summary>
    public void Write(string path)
    {
        string temporary = path + ".tmp-" + Environment.ProcessId;
        File.WriteAllBytes(temporary, JsonSerializer.SerializeToUtf8Bytes(this, StampJson.Default.CompileStamp));
        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>Whether nothing has changed. Files are read only where time and length do not tell.</summary>
    /// <param name="clock">The time.</param>
    /// <param name="refreshed">This stamp, or one with newer times: worth writing when it is another object.</param>
    /// <param name="cancellation">Stops reading.</param>
    public bool IsCurrent(TimeProvider clock, out CompileStamp refreshed, CancellationToken cancellation)
    {
        refreshed = this;
        long now = clock.GetUtcNow().Ticks;
        if (!Outputs.All(o => new FileInfo(o.Key) is { Exists: true } file && file.Length == o.Value)
            || !Expand(Inputs).SequenceEqual(Files.Select(f => f.Path), StringComparer.Ordinal))
        {
            return false;
        }

        bool read = false;
        var states = new List<FileState>();
        foreach (FileState known in Files)
        {
            var file = new FileInfo(known.Path);
            if (file.Length != known.Bytes)
            {
                return false;
            }

            bool asItWas = file.LastWriteTimeUtc.Ticks == known.Modified && known.Modified < Looked - TimeResolution.Ticks;
            FileState state = asItWas ? known : Look(known.Path, cancellation);
            if (state.Sha256 != known.Sha256)
            {
                return false;
            }

            read |= !asItWas;
            states.Add(state);
        }

        refreshed = read ? this with { Files = states, Looked = now } : this;
        return true;
    }

    private static IEnumerable<string> Expand(IEnumerable<string> inputs) => inputs
        .SelectMany(i => Directory.Exists(i) ? Directory.EnumerateFiles(i, "*", SearchOption.AllDirectories) : File.Exists(i) ? [i] : [])
        .Distinct(StringComparer.Ordinal)
        .Order(StringComparer.Ordinal);

    private static FileState Look(string path, CancellationToken cancellation)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
        long modified = File.GetLastWriteTimeUtc(path).Ticks;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 20];
        long length = 0;
        for (int read; (read = stream.Read(buffer)) > 0; length += read)
        {
            cancellation.ThrowIfCancellationRequested();
            hash.AppendData(buffer, 0, read);
        }

        return new FileState(path, length, modified, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }
}

/// <summary>The contract of stamps.</summary>
[JsonSerializable(typeof(CompileStamp))]
internal sealed partial class StampJson : JsonSerializerContext;
