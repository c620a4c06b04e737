using System.Collections.Immutable;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <summary>
/// Decides which tensors are stored as differences: those that the base has under the same name, dtype and shape, or with the same bytes under any name, if samples of the differences
/// code smaller than samples of the tensor.
/// </summary>
internal sealed class DeltaPlanner
{
    /// <summary>Smaller tensors are not worth an entry in the record.</summary>
    private const int MinBytes = 256;

    private readonly DeltaBase _base;
    private readonly PackOptions _options;
    private readonly Dictionary<(string Name, DType DType, Shape Shape), (int File, PackedFileRange Range)> _byName = [];
    private readonly Dictionary<long, List<(int File, PackedFileRange Range)>> _byLength = [];
    private readonly Dictionary<(int File, long Offset), UInt128> _hashes = [];
    private readonly ImmutableArray<BaseRecord.TensorEntry>.Builder _entries = ImmutableArray.CreateBuilder<BaseRecord.TensorEntry>();

    public DeltaPlanner(DeltaBase against, PackOptions options)
    {
        _base = against;
        _options = options;
        for (int f = 0; f < against.Files.Length; f++)
        {
            foreach (PackedFileRange range in against.Files[f].Ranges)
            {
                _byName.TryAdd((range.Name, range.DType, range.Shape), (f, range));
                if (!_byLength.TryGetValue(range.LengthBytes, out List<(int, PackedFileRange)>? same))
                {
                    _byLength.Add(range.LengthBytes, same = []);
                }

                same.Add((f, range));
            }
        }
    }

    /// <summary>The tensor as differences, or null to store it as it is.</summary>
    /// <param name="number">Its number in the artifact.</param>
    /// <param name="name">Its name in the file.</param>
    /// <param name="tensor">The tensor, stored plainly.</param>
    public PackTensorContent? Plan(int number, string name, PackTensorContent tensor)
    {
        _options.Cancellation.ThrowIfCancellationRequested();
        if (!RawEncodings.TryGet(tensor.Encoding, out _, out TensorData data)
            || data.LengthBytes < MinBytes
            || !Delta.TryElementType(tensor.DType, out DType difference)
            || Find(name, tensor, data) is not (int file, PackedFileRange range))
        {
            return null;
        }

        TensorData against = _base.Files[file].Data.Slice(range.OffsetBytes, range.LengthBytes);
        var differences = new DifferenceData(data, against, Delta.Width(difference), restore: false);
        if (SampleBytes(difference, differences) >= SampleBytes(tensor.DType, data))
        {
            return null;
        }

        _entries.Add(new BaseRecord.TensorEntry(number, file, range.OffsetBytes));
        return tensor with { Encoding = Delta.Of(difference, tensor.Shape, differences) };
    }

    /// <summary>What the artifact must say about its base; null when no tensor refers to it.</summary>
    public BaseRecord? Record()
    {
        if (_entries.Count == 0)
        {
            return null;
        }

        // The main file always, so that people recognise the base; others when something refers to them.
        int[] used = [.. Enumerable.Range(0, _base.Files.Length).Where(f => f == 0 || _entries.Any(e => e.File == f))];
        return new BaseRecord(
            [.. used.Select(f => new BaseRecord.FileEntry(_base.Files[f].RelativePath, _base.Files[f].Data.LengthBytes, _base.Files[f].Sha256))],
            [.. _entries.Select(e => e with { File = Array.IndexOf(used, e.File) })]);
    }

    private (int File, PackedFileRange Range)? Find(string name, PackTensorContent tensor, TensorData data)
    {
        if (_byName.TryGetValue((name, tensor.DType, tensor.Shape), out (int, PackedFileRange Range) named) && named.Range.LengthBytes == data.LengthBytes)
        {
            return named;
        }

        if (!_byLength.TryGetValue(data.LengthBytes, out List<(int File, PackedFileRange Range)>? candidates))
        {
            return null;
        }

        UInt128 hash = DataHash.Xxh128(data, _options.Cancellation);
        foreach ((int file, PackedFileRange range) in candidates)
        {
            if (!_hashes.TryGetValue((file, range.OffsetBytes), out UInt128 known))
            {
                known = DataHash.Xxh128(_base.Files[file].Data.Slice(range.OffsetBytes, range.LengthBytes), _options.Cancellation);
                _hashes.Add((file, range.OffsetBytes), known);
            }

            if (known == hash)
            {
                return (file, range);
            }
        }

        return null;
    }

    /// <summary>What samples take with the codec that would be chosen.</summary>
    private int SampleBytes(DType elementType, TensorData data)
    {
        List<byte[]> samples = CopyJob.SampleOf(data);
        byte[] sample = [.. samples.SelectMany(s => s)];
        ICodec? codec = CodecChooser.Choose(new CodecPolicy(_options.Level, _options.Portable), elementType, data.LengthBytes, samples);
        return codec is not null && codec.TryEncode(sample, elementType, new byte[sample.Length], out int written) ? written : sample.Length;
    }
}
