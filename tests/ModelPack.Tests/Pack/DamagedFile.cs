using ModelPack.Pack;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>One artifact on disk that is damaged in place, opened, read where it is damaged, and restored, again and again.</summary>
internal sealed class DamagedFile : IDisposable
{
    private readonly byte[] _sound;
    private readonly string _path;
    private readonly FileStream _writer;
    private readonly Dictionary<(string Stream, long Chunk), byte[]> _truth = [];

    /// <summary>Writes the artifact to a path and reads every chunk of it.</summary>
    public DamagedFile(byte[] artifact, string path)
    {
        _sound = artifact;
        _path = path;
        File.WriteAllBytes(path, artifact);
        _writer = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        using PackReader reader = PackReader.Open(path);
        foreach (PackStream stream in reader.Streams)
        {
            for (long chunk = 0; chunk < stream.ChunkCount; chunk++)
            {
                byte[] raw = new byte[stream.RawLength(chunk)];
                reader.DecodeChunk(stream, chunk, raw);
                _truth.Add((stream.Name, chunk), raw);
            }
        }
    }

    /// <summary>Damaged files that could be opened.</summary>
    public int Opened { get; private set; }

    /// <summary>Puts damaged bytes in the place of the artifact's and looks at them.</summary>
    /// <exception cref="ModelPackException">The damage was noticed.</exception>
    public void Check(byte[] damaged)
    {
        int first = _sound.AsSpan().CommonPrefixLength(damaged);
        if (first == _sound.Length && first == damaged.Length)
        {
            return;
        }

        int end = damaged.Length;
        bool sameLength = damaged.Length == _sound.Length;
        if (sameLength)
        {
            while (damaged[end - 1] == _sound[end - 1])
            {
                end--;
            }
        }

        RandomAccess.Write(_writer.SafeFileHandle, damaged.AsSpan(first, end - first), first);
        if (!sameLength)
        {
            _writer.SetLength(damaged.Length);
        }

        try
        {
            Read(first, end);
        }
        finally
        {
            RandomAccess.Write(_writer.SafeFileHandle, _sound.AsSpan(first..(sameLength ? end : _sound.Length)), first);
            if (!sameLength)
            {
                _writer.SetLength(_sound.Length);
            }
        }
    }

    public void Dispose() => _writer.Dispose();

    private void Read(int first, int end)
    {
        using PackReader reader = PackReader.Open(_path);
        Opened++;
        var errors = new List<ModelPackException>();
        foreach (PackStream stream in reader.Streams)
        {
            for (long chunk = 0; chunk < stream.ChunkCount; chunk++)
            {
                ChunkRecord record = reader.Record(stream, chunk);
                if (record.OffsetBytes >= end || record.OffsetBytes + record.StoredBytes <= first)
                {
                    continue;
                }

                try
                {
                    byte[] raw = new byte[stream.RawLength(chunk)];
                    reader.DecodeChunk(stream, chunk, raw);
                    Assert.True(_truth[(stream.Name, chunk)].AsSpan().SequenceEqual(raw), $"chunk {chunk} of '{stream.Name}' reads wrong data");
                }
                catch (ModelPackException e)
                {
                    errors.Add(e);
                }
            }
        }

        IReadOnlyList<PackProblem> problems = reader.VerifyStored(threads: 1);
        Assert.True(problems.Count > 0, "the check of stored bytes found nothing");
        throw errors.Count > 0 ? errors[0] : new ModelPackException(problems[0].Code, problems[0].Message);
    }
}
