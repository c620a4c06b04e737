using System.Collections.Immutable;
using ModelPack.Runtime.Loading;

namespace ModelPack.Runtime.Prepared;

/// <summary>
/// Writes a file of prepared weights. All but the header goes to the file in whole pieces of 8 MiB: so file systems with large pages in their cache (ext4, XFS) take large pages, and the mapping of the file has them too, which is
/// what makes reading weights from it as fast as from anonymous memory in large pages.
/// </summary>
internal sealed class PreparedWriter
{
    private const int PieceBytes = 8 << 20;

    private readonly Stream _stream;
    private readonly byte[] _piece = GC.AllocateUninitializedArray<byte>(PieceBytes);
    private int _filled;
    private long _written;

    private PreparedWriter(Stream stream)
    {
        _stream = stream;
    }

    private long Position => _written + _filled;

    /// <summary>Writes a whole file.</summary>
    /// <param name="stream">An empty file that can be written again at its start.</param>
    /// <param name="plan">Identity, key and places.</param>
    /// <param name="load">Makes the weights in the order of the plan and hands over one after the other.</param>
    public static void Write(Stream stream, PreparedHeader plan, Action<Action<LoadedWeight>> load)
    {
        var writer = new PreparedWriter(stream);
        var entries = ImmutableArray.CreateBuilder<PreparedEntry>(plan.Entries.Length);
        writer.Zeros(plan.LengthBytes);
        load(weight =>
        {
            PreparedEntry entry = plan.Entries[entries.Count];
            if (weight.Buffer.LengthBytes != entry.LengthBytes)
            {
                throw new InvalidOperationException($"'{weight.Location}' has {weight.Buffer.LengthBytes} bytes, not {entry.LengthBytes}");
            }

            writer.Zeros(entry.OffsetBytes - writer.Position);
            writer.Add(weight);
            entries.Add(entry with { Checksum = PreparedHeader.Checksum(weight.Buffer.Address, entry.LengthBytes) });
        });
        writer.Flush();
        stream.Position = 0;
        stream.Write((plan with { Entries = entries.MoveToImmutable() }).ToBytes());
    }

    private void Add(LoadedWeight weight)
    {
        for (long at = 0; at < weight.Buffer.LengthBytes;)
        {
            int some = (int)Math.Min(PieceBytes - _filled, weight.Buffer.LengthBytes - at);
            weight.Buffer.Slice(at, some).CopyTo(_piece.AsSpan(_filled));
            at += some;
            Advance(some);
        }
    }

    private void Zeros(long count)
    {
        while (count > 0)
        {
            int some = (int)Math.Min(PieceBytes - _filled, count);
            _piece.AsSpan(_filled, some).Clear();
            count -= some;
            Advance(some);
        }
    }

    private void Advance(int bytes)
    {
        _filled += bytes;
        if (_filled == PieceBytes)
        {
            Flush();
        }
    }

    private void Flush()
    {
        _stream.Write(_piece.AsSpan(0, _filled));
        _written += _filled;
        _filled = 0;
    }
}
