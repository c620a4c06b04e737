namespace ModelPack.Pack;

/// <summary>
/// Holds the coded chunks of a stream that must wait until an earlier stream of the same tensor is written: in memory up to a limit,
/// beyond it in a temporary file beside the output that disappears with this object.
/// </summary>
internal sealed class SpillBuffer(long memoryLimitBytes, Func<FileStream> openSpillFile) : IDisposable
{
    private const int BlockBytes = 256 << 10;
    private readonly List<NativeBuffer> _blocks = [];
    private FileStream? _file;
    private long _lengthBytes;

    /// <summary>True once the memory limit was passed.</summary>
    public bool Spilled => _file is not null;

    public void Append(ReadOnlySpan<byte> bytes)
    {
        while (_file is null && !bytes.IsEmpty)
        {
            int used = (int)(_lengthBytes % BlockBytes);
            if (used == 0)
            {
                if (((_blocks.Count + 1L) * BlockBytes) > memoryLimitBytes)
                {
                    _file = openSpillFile();
                    break;
                }

                _blocks.Add(new NativeBuffer(BlockBytes));
            }

            int n = Math.Min(bytes.Length, BlockBytes - used);
            bytes[..n].CopyTo(_blocks[^1].GetSpan()[used..]);
            bytes = bytes[n..];
            _lengthBytes += n;
        }

        _file?.Write(bytes);
    }

    /// <summary>Hands over everything appended, in order, in pieces.</summary>
    public void CopyTo(Action<ReadOnlyMemory<byte>> consume)
    {
        long left = _lengthBytes;
        foreach (NativeBuffer block in _blocks)
        {
            int n = (int)Math.Min(left, BlockBytes);
            consume(block.Memory[..n]);
            left -= n;
        }

        if (_file is not null)
        {
            byte[] piece = new byte[BlockBytes];
            _file.Position = 0;
            for (int n = _file.Read(piece); n > 0; n = _file.Read(piece))
            {
                consume(piece.AsMemory(0, n));
            }
        }
    }

    public void Dispose()
    {
        foreach (NativeBuffer block in _blocks)
        {
            block.Free();
        }

        _blocks.Clear();
        _file?.Dispose();
    }
}
