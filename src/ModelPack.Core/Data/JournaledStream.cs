using System.IO.Hashing;
using Microsoft.Win32.SafeHandles;

namespace ModelPack;

/// <summary>A file being written whose finished parts a journal records.</summary>
internal sealed class JournaledStream(SafeFileHandle handle, OutputJournal journal, string file) : Stream
{
    private readonly XxHash3 _hash = new();
    private long _partBegin = -1;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => Position;

    public override long Position { get; set; }

    /// <summary>Passes over a part that an earlier run has written.</summary>
    public bool TryKeep(string part, long lengthBytes)
    {
        if (journal.Keep(handle, file, part, Key(lengthBytes), Position) is null)
        {
            return false;
        }

        Position += lengthBytes;
        return true;
    }

    /// <summary>A part begins here.</summary>
    public void Begin()
    {
        _partBegin = Position;
        _hash.Reset();
    }

    /// <summary>The part that has begun is complete.</summary>
    public void Finish(string part)
    {
        journal.Add(new JournalPart(file, part, Key(Position - _partBegin), _partBegin, Position - _partBegin, _hash.GetCurrentHashAsUInt64()));
        _partBegin = -1;
    }

    /// <summary>Cuts off what an earlier run wrote behind the end, and flushes to the disk.</summary>
    public void Complete()
    {
        RandomAccess.SetLength(handle, Position);
        RandomAccess.FlushToDisk(handle);
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        RandomAccess.Write(handle, buffer, Position);
        Position += buffer.Length;
        if (_partBegin >= 0)
        {
            _hash.Append(buffer);
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        handle.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>What a part is made from is in the journal's context: sources are hashed whole.</summary>
    private static string Key(long lengthBytes) => lengthBytes.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
