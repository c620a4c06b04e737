using System.Diagnostics;
using ModelPack.Codecs;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Measures the lossless codecs on the data of a file, on one core and on all, beside copies of the same data.</summary>
public static class CodecBenchmark
{
    /// <summary>Of one kind of data, no more than this is measured.</summary>
    private const long MostBytesPerKind = 256L << 20;

    /// <summary>What the packer would do, tensor by tensor; the first is its default.</summary>
    private static readonly (string Name, CodecLevel Level, bool Portable)[] Choices =
    [
        ("pack", CodecLevel.Default, false),
        ("pack --portable", CodecLevel.Default, true),
        ("pack --level fast", CodecLevel.Fast, false),
        ("pack --level max", CodecLevel.Max, false),
    ];

    private const int ChunkBytes = 1 << 20;
    private const int LeastBytes = 1 << 20;
    private const int LeastPasses = 3;
    private static readonly TimeSpan EnoughTime = TimeSpan.FromMilliseconds(400);

    /// <summary>Measures every codec that makes any chunk of a kind of data smaller.</summary>
    /// <param name="path">A model file, a checkpoint folder or an artifact.</param>
    /// <param name="threads">Threads of the second pair of speeds.</param>
    /// <param name="progress">Told kind and codec.</param>
    /// <param name="cancellation">Checked between passes.</param>
    /// <exception cref="ModelPackException">The file is missing, of no known kind, or damaged.</exception>
    public static BenchCodecResult Run(string path, int threads, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        using TensorFile file = TensorFile.Open(path, cancellation);
        List<CodecData> kinds = CodecData.Of(file, MostBytesPerKind, cancellation);
        var results = new List<BenchedCodec>();
        var references = new List<CodecReference>();
        double memcpy = 0;
        long largest = 0;
        foreach (CodecData kind in kinds)
        {
            int first = results.Count;
            ICodec[] codecs = [.. ModelPack.Codecs.Codecs.All.Where(c => c.Id is not ("stored" or "constant"))];
            int rows = Choices.Length + codecs.Length;
            for (int c = 0; c < rows; c++)
            {
                bool pack = c < Choices.Length;
                string name = pack ? Choices[c].Name : codecs[c - Choices.Length].Id;
                progress?.Report(new ToolProgress("bench codec", (references.Count * rows) + c, kinds.Count * rows, $"{kind.Type.Name()} {kind.Role}, {name}"));
                ICodec?[] chosen = pack
                    ? [.. kind.Tensors.Select(t => StreamCodecs.Choose(Choices[c].Level, kind.Type, TensorData.FromBytes(t), Choices[c].Portable))]
                    : [.. Enumerable.Repeat(codecs[c - Choices.Length], kind.Tensors.Count)];
                if (Measure(name, kind, chosen, threads, cancellation) is BenchedCodec result && (pack || result.CodedBytes < result.Bytes))
                {
                    results.Add(result);
                }
            }

            if (kind.Bytes > largest)
            {
                (largest, memcpy) = (kind.Bytes, results[first].MemcpyGbps);
            }

            references.Add(Reference(kind, results[first].CodedBytes, cancellation));
        }

        return new BenchCodecResult { Path = path, Results = results, References = references, MemcpyGbps = memcpy, Cpu = Processor.Name, Threads = threads };
    }

    private static CodecReference Reference(CodecData kind, long packed, CancellationToken cancellation)
    {
        double zipnn = 0;
        double bound = 0;
        double mantissa = 0;
        foreach (byte[] tensor in kind.Tensors)
        {
            cancellation.ThrowIfCancellationRequested();
            zipnn += ZipNnSize.Of(tensor, kind.Type);
            bound += StaticBound.Bytes(tensor, kind.Type);
            mantissa += StaticBound.Bytes(tensor, kind.Type, topMantissaBit: true);
        }

        return new CodecReference
        {
            Dtype = kind.Type.Name(),
            Role = kind.Role,
            Tensors = kind.Tensors.Count,
            Bytes = kind.Bytes,
            ZipnnBytes = (long)zipnn,
            BoundBytes = (long)bound,
            MantissaBoundBytes = (long)mantissa,
            Realized = zipnn > bound ? (zipnn - packed) / (zipnn - bound) : null,
        };
    }

    private static BenchedCodec Measure(string name, CodecData kind, ICodec?[] codecs, int threads, CancellationToken cancellation)
    {
        List<Chunk> chunks = [];
        for (int t = 0; t < kind.Tensors.Count; t++)
        {
            for (int at = 0; at < kind.Tensors[t].Length; at += ChunkBytes)
            {
                chunks.Add(new Chunk(kind.Tensors[t].AsMemory(at, Math.Min(ChunkBytes, kind.Tensors[t].Length - at)), codecs[t], kind.Type));
            }
        }

        // A pass over a few bytes is too short for the clock.
        int repeats = (int)Math.Max(1, LeastBytes / Math.Max(1, kind.Bytes));
        double encode = double.MaxValue;
        double decode = double.MaxValue;
        double copy = double.MaxValue;
        double encodeAll = double.MaxValue;
        double decodeAll = double.MaxValue;
        long start = Stopwatch.GetTimestamp();
        for (int pass = 0; pass < LeastPasses || Stopwatch.GetElapsedTime(start) < EnoughTime; pass++)
        {
            cancellation.ThrowIfCancellationRequested();
            encode = Math.Min(encode, Seconds(repeats, () => chunks.ForEach(static c => c.Encode())));
            decode = Math.Min(decode, Seconds(repeats, () => chunks.ForEach(static c => c.Decode())));
            copy = Math.Min(copy, Seconds(repeats, () => chunks.ForEach(static c => c.Copy())));
            if (threads > 1)
            {
                var options = new ParallelOptions { MaxDegreeOfParallelism = threads };
                encodeAll = Math.Min(encodeAll, Seconds(repeats, () => Parallel.ForEach(chunks, options, static c => c.Encode())));
                decodeAll = Math.Min(decodeAll, Seconds(repeats, () => Parallel.ForEach(chunks, options, static c => c.Decode())));
            }
        }

        double gigabytes = kind.Bytes / 1e9 * repeats;
        long coded = chunks.Sum(c => (long)c.CodedBytes);
        return new BenchedCodec
        {
            Codec = name,
            Dtype = kind.Type.Name(),
            Role = kind.Role,
            Bytes = kind.Bytes,
            CodedBytes = coded,
            Ratio = (double)kind.Bytes / Math.Max(1, coded),
            EncodeGbps = gigabytes / encode,
            DecodeGbps = gigabytes / decode,
            EncodeThreadsGbps = threads > 1 ? gigabytes / encodeAll : null,
            DecodeThreadsGbps = threads > 1 ? gigabytes / decodeAll : null,
            MemcpyGbps = gigabytes / copy,
        };
    }

    private static double Seconds(int repeats, Action action)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < repeats; i++)
        {
            action();
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>A chunk with room of its own for its coded and its decoded form, so that passes go through memory as the packer and the loader do.</summary>
    private sealed class Chunk(ReadOnlyMemory<byte> raw, ICodec? codec, DType type)
    {
        private readonly byte[] _coded = new byte[raw.Length];
        private readonly byte[] _decoded = new byte[raw.Length];
        private bool _stored;
        private ulong _rawHash;
        private ulong _codedHash;

        public int CodedBytes { get; private set; }

        public void Encode()
        {
            _rawHash = Xxh3.Hash64(raw.Span);
            _stored = codec is null || !codec.TryEncode(raw.Span, type, _coded, out int written) || (CodedBytes = written) >= raw.Length;
            if (_stored)
            {
                raw.CopyTo(_coded);
                CodedBytes = raw.Length;
            }

            _codedHash = Xxh3.Hash64(_coded.AsSpan(0, CodedBytes));
        }

        public void Decode()
        {
            ReadOnlySpan<byte> coded = _coded.AsSpan(0, CodedBytes);
            bool good = !(_stored || codec!.NeedsCheckedInput) || Xxh3.Hash64(coded) == _codedHash;
            if (_stored)
            {
                coded.CopyTo(_decoded);
            }
            else
            {
                good = good && codec!.TryDecode(coded, type, _decoded, out ulong hash) && hash == _rawHash;
            }

            if (!good)
            {
                throw new InvalidOperationException($"{codec?.Id} does not decode what it wrote");
            }
        }

        public void Copy() => raw.CopyTo(_decoded);
    }
}
