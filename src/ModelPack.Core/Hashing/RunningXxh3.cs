using System.IO.Hashing;

namespace ModelPack;

/// <summary>XXH3-64 of bytes that are being written in ascending order: what is written is hashed while it is in the cache.</summary>
/// <param name="bytes">All bytes, written or not.</param>
public unsafe ref struct RunningXxh3(ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private Xxh3State _state = Xxh3State.Start;
    private int _done;

    /// <summary>Hashes whole blocks of what is written so far; the last block waits for <see cref="Finish"/>.</summary>
    /// <param name="written">Bytes that will not change any more.</param>
    public void Advance(int written)
    {
        int end = Math.Min(written, _bytes.Length - 1) / Xxh3Kernel.BlockBytes * Xxh3Kernel.BlockBytes;
        if (end > _done && Xxh3Kernel.IsSupported)
        {
            fixed (byte* p = _bytes)
            {
                Xxh3Kernel.Blocks(ref _state, p + _done, (end - _done) / Xxh3Kernel.BlockBytes);
            }

            _done = end;
        }
    }

    /// <summary>The hash, when all bytes are written.</summary>
    public ulong Finish()
    {
        if (!Xxh3Kernel.IsSupported || _bytes.Length < Xxh3Kernel.MinBytes)
        {
            return XxHash3.HashToUInt64(_bytes);
        }

        Advance(_bytes.Length);
        fixed (byte* p = _bytes)
        {
            return Xxh3Kernel.Finish(ref _state, p + _done, _bytes.Length - _done, _bytes.Length);
        }
    }
}
