using System.Buffers;
using System.IO.Hashing;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace ModelPack;

/// <summary>
/// What is finished of files that take long to write, kept beside them so that the same command can go on after an interruption: a line of JSON per part with the identity of what it was made from, its place in the
/// file and the XXH3 of its bytes. While a journal is open the files lie under <see cref="PartialPath"/>; <see cref="Complete"/> removes it. A part is kept only if its identity is the same and its bytes are what they were.
/// </summary>
/// <remarks>Nothing has to be flushed in order: after a loss of power, what did not reach the disk does not have its hash. One process at a time has a journal open.</remarks>
public sealed class OutputJournal : IDisposable
{
    private const string Suffix = ".resume";
    private const string PartialSuffix = ".partial";
    private const int PieceBytes = 1 << 20;

    /// <summary>No line is longer; a torn or foreign one ends what is read.</summary>
    private const int MaxLineBytes = 64 << 20;

    private readonly string _output;
    private readonly string _context;
    private readonly FileStream _stream;
    private readonly Dictionary<(string File, string Part), JournalPart> _earlier = [];
    private readonly HashSet<string> _folders;
    private readonly bool _foreignContext;
    private bool _complete;

    private OutputJournal(string output, string context, FileStream stream)
    {
        _output = output;
        _context = context;
        _stream = stream;
        _folders = new HashSet<string>(StringComparer.Ordinal) { Path.GetDirectoryName(Path.GetFullPath(output)) ?? "" };
        _foreignContext = !ReadEarlier();
        EarlierParts = _earlier.Count;
    }

    /// <summary>Parts that an interrupted run left.</summary>
    public int EarlierParts { get; }

    /// <summary>Of these, the ones that were kept so far.</summary>
    public int KeptParts { get; private set; }

    /// <summary>Their bytes.</summary>
    public long KeptBytes { get; private set; }

    /// <summary>Parts finished now, kept or written.</summary>
    public int FinishedParts { get; private set; }

    /// <summary>Whether there is anything that the next run can go on from.</summary>
    public bool HoldsParts => FinishedParts > 0 || (EarlierParts > 0 && !_foreignContext);

    /// <summary>Opens the journal of an output, or begins one.</summary>
    /// <param name="output">The file or folder that is written; its own folder must exist.</param>
    /// <param name="context">What all parts depend on, for example tool version and options: with another one nothing is kept.</param>
    /// <exception cref="ModelPackException">MP4120: another process writes the same output. MP1005: the journal cannot be written.</exception>
    public static OutputJournal Open(string output, string context)
    {
        string path = PathOf(output);
        try
        {
            return new OutputJournal(output, context, new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1 << 16));
        }
        catch (IOException e) when (File.Exists(path) && !Directory.Exists(path))
        {
            throw new ModelPackException(ErrorCodes.OutputBusy, $"cannot be opened, so another process seems to be writing the same output: {e.Message}", path, innerException: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.FileUnwritable, $"cannot be written: {e.Message}", path, innerException: e);
        }
    }

    /// <summary>Where the journal of an output lies.</summary>
    public static string PathOf(string output) => Path.TrimEndingDirectorySeparator(output) + Suffix;

    /// <summary>Where a file lies until it is complete.</summary>
    public static string PartialPath(string path) => path + PartialSuffix;

    /// <summary>The part of an earlier run, if it was made of the same and its bytes in the file are still what they were.</summary>
    /// <param name="handle">The file under its partial name.</param>
    /// <param name="file">The file's final name, without folder.</param>
    /// <param name="part">The part's name.</param>
    /// <param name="key">The identity of everything its bytes depend on beside the journal's context.</param>
    /// <param name="offsetBytes">Where it has to begin.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public JournalPart? Keep(SafeFileHandle handle, string file, string part, string key, long offsetBytes)
    {
        if (!_earlier.TryGetValue((file, part), out JournalPart? found) || found.Key != key || found.OffsetBytes != offsetBytes || Hash(handle, found) != found.Hash)
        {
            return null;
        }

        KeptParts++;
        FinishedParts++;
        KeptBytes += found.LengthBytes;
        return found;
    }

    /// <summary>Whether an earlier run got to the end of a part of that name, whatever it was made from.</summary>
    public bool Knows(string file, string part) => _earlier.ContainsKey((file, part));

    /// <summary>Records a part whose bytes have been written.</summary>
    /// <param name="part">The part.</param>
    /// <exception cref="IOException">The journal cannot be written.</exception>
    public void Add(JournalPart part)
    {
        var line = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString("file", part.File);
            json.WriteString("part", part.Part);
            json.WriteString("key", part.Key);
            json.WriteNumber("offset", part.OffsetBytes);
            json.WriteNumber("length", part.LengthBytes);
            json.WriteNumber("hash", part.Hash);
            json.WriteBase64String("state", part.State.Span);
            json.WriteEndObject();
        }

        WriteLine(line.WrittenSpan);
        FinishedParts++;
    }

    /// <summary>Says what became of an interrupted run; null when there was none or all of it was kept.</summary>
    public string? Discarded => EarlierParts == KeptParts ? null
        : $"{EarlierParts - KeptParts} of {EarlierParts} finished parts of an interrupted run were made again: {(_foreignContext ? "the source, an option or the version of the tool has changed" : "their source, their recipe or their bytes have changed")}";

    /// <summary>Says where an interrupted run can go on; empty when nothing is finished.</summary>
    public string Left => !HoldsParts ? "" : $"; what is finished is kept beside the output, and the same command goes on from there";

    /// <summary>The output is complete under its own name: removes the journal and what earlier runs left under other names.</summary>
    public void Complete()
    {
        _complete = true;
        Dispose();
    }

    /// <summary>Closes the journal; one in which nothing is finished disappears with its partial files.</summary>
    public void Dispose()
    {
        if (!_stream.CanWrite)
        {
            return;
        }

        if (_complete || !HoldsParts)
        {
            Delete(_stream.Name);
            foreach (string path in _folders.SelectMany(_ => _earlier.Keys, (folder, key) => PartialPath(Path.Join(folder, key.File))).Distinct(StringComparer.Ordinal))
            {
                Delete(path);
            }
        }

        _stream.Dispose();
    }

    /// <summary>Files of the output may also lie here.</summary>
    internal void AddFolder(string path) => _folders.Add(Path.GetFullPath(path));

    private static void Delete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The output is there, or an error is on its way that says more.
        }
    }

    /// <summary>XXH3 of a part's bytes; null where the file ends before it does.</summary>
    private static ulong? Hash(SafeFileHandle handle, JournalPart part)
    {
        var hash = new XxHash3();
        byte[] piece = ArrayPool<byte>.Shared.Rent(PieceBytes);
        try
        {
            for (long done = 0; done < part.LengthBytes;)
            {
                int n = RandomAccess.Read(handle, piece.AsSpan(0, (int)Math.Min(piece.Length, part.LengthBytes - done)), part.OffsetBytes + done);
                if (n == 0)
                {
                    return null;
                }

                hash.Append(piece.AsSpan(0, n));
                done += n;
            }

            return hash.GetCurrentHashAsUInt64();
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }
    }

    /// <summary>Reads what is there, up to the first line that is none; writing goes on behind it. False when it was written in another context.</summary>
    private bool ReadEarlier()
    {
        long end = 0;
        bool first = true;
        bool same = true;
        foreach (byte[] line in Lines())
        {
            if (first)
            {
                if (!TryContext(line, out same))
                {
                    break;
                }
            }
            else if (TryPart(line) is JournalPart part)
            {
                _earlier[(part.File, part.Part)] = same ? part : part with { Key = "" };
            }
            else
            {
                break;
            }

            first = false;
            end += line.Length + 1;
        }

        // Parts of another context are only counted: none of their lines stays.
        _stream.SetLength(same ? end : 0);
        _stream.Position = _stream.Length;
        if (_stream.Length == 0)
        {
            var line = new ArrayBufferWriter<byte>();
            using (var json = new Utf8JsonWriter(line))
            {
                json.WriteStartObject();
                json.WriteNumber("journal", 1);
                json.WriteString("context", _context);
                json.WriteEndObject();
            }

            WriteLine(line.WrittenSpan);
        }

        return same;
    }

    private IEnumerable<byte[]> Lines()
    {
        _stream.Position = 0;
        var line = new ArrayBufferWriter<byte>();
        for (int b = _stream.ReadByte(); b >= 0 && line.WrittenCount < MaxLineBytes; b = _stream.ReadByte())
        {
            if (b == '\n')
            {
                yield return line.WrittenSpan.ToArray();
                line.ResetWrittenCount();
            }
            else
            {
                line.GetSpan(1)[0] = (byte)b;
                line.Advance(1);
            }
        }
    }

    private bool TryContext(byte[] line, out bool same)
    {
        same = true;
        try
        {
            using JsonDocument json = JsonDocument.Parse(line);
            same = json.RootElement.GetProperty("journal").GetInt32() == 1 && json.RootElement.GetProperty("context").GetString() == _context;
            return true;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return false;
        }
    }

    /// <summary>Null for a line that is none.</summary>
    private static JournalPart? TryPart(byte[] line)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(line);
            JsonElement root = json.RootElement;
            var part = new JournalPart(
                root.GetProperty("file").GetString()!,
                root.GetProperty("part").GetString()!,
                root.GetProperty("key").GetString()!,
                root.GetProperty("offset").GetInt64(),
                root.GetProperty("length").GetInt64(),
                root.GetProperty("hash").GetUInt64(),
                root.GetProperty("state").GetBytesFromBase64());
            return part is { File: not null, Part: not null, Key: not null, OffsetBytes: >= 0, LengthBytes: >= 0 } && Path.GetFileName(part.File) == part.File ? part : null;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return null;
        }
    }

    private void WriteLine(ReadOnlySpan<byte> json)
    {
        _stream.Write(json);
        _stream.WriteByte((byte)'\n');
        _stream.Flush();
    }
}

/// <summary>A finished part of a file.</summary>
/// <param name="File">The file's final name, without folder.</param>
/// <param name="Part">The part's name: mostly that of a tensor.</param>
/// <param name="Key">The identity of what it was made from.</param>
/// <param name="OffsetBytes">Where it lies.</param>
/// <param name="LengthBytes">How long it is.</param>
/// <param name="Hash">XXH3-64 of its bytes.</param>
/// <param name="State">What its writer needs to know of it besides.</param>
public sealed record JournalPart(string File, string Part, string Key, long OffsetBytes, long LengthBytes, ulong Hash, ReadOnlyMemory<byte> State = default);
