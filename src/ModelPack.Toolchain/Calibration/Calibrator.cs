using System.Globalization;
using System.IO.Hashing;
using System.Text;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Toolchain;

/// <summary>Calibration on the user's data, with a cache on disk for statistics of unchanged models.</summary>
internal sealed class Calibrator : ICalibrator, IDisposable
{
    /// <summary>Part of the memory that the tapped values of one sample may take.</summary>
    private const int ShareOfValues = 8;

    /// <summary>Taps of the first group, when nothing is known of the size of values.</summary>
    private const int FirstGroup = 8;

    /// <summary>More taps in one piece of the graph save no time.</summary>
    private const int MostTogether = 64;

    /// <summary>Samples that losses are measured on.</summary>
    private const int ProbeSamples = 16;

    private readonly CalibrationSamples _samples;
    private readonly CalibrationLimits _limits;
    private readonly string? _cacheFolder;

    private Calibrator(CalibrationSamples samples, CalibrationLimits limits, string? cacheFolder)
    {
        _samples = samples;
        _limits = limits;
        _cacheFolder = cacheFolder;
    }

    public CalibrationInfo Info => _samples.Info;

    public bool CanRun => true;

    /// <summary>Opens data (a token file or a folder of .npy inputs) or statistics made by <c>modelpack calibrate</c>.</summary>
    /// <exception cref="ModelPackException">MP1001, MP1002, MP1070, MP2213, MP2214.</exception>
    public static ICalibrator Open(string path, CalibrationOptions options, CalibrationLimits limits) =>
        StatisticsFile.Recognizes(path)
            ? new GivenStatistics(path, limits.Cancellation)
            : new Calibrator(CalibrationSamples.Open(path, options, limits.Cancellation), limits, options.NoCache ? null : options.CacheFolder ?? DefaultCacheFolder());

    public ICalibrationRun Begin(Model model, bool withReference) => new CalibrationRun(model, _samples, _limits, withReference);

    public ILossProbe? Probe(Model model) => new LossProbe(model, _samples, ProbeSamples, _limits);

    public ICalibrationStatistics Collect(Model model, IReadOnlyList<CalibrationTap> taps)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return Begin(model, false).Advance([], new Dictionary<string, Tensor>()); // Says why that is not possible.
        }

        string identity = ModelIdentity.Of(model, _limits.Cancellation);
        string? cached = _cacheFolder is null ? null : Path.Combine(_cacheFolder, $"{Key(identity, taps)}.safetensors");
        if (cached is not null && TryOpen(cached, taps) is StatisticsFile found)
        {
            return found;
        }

        string file = cached ?? Path.Combine(Directory.CreateTempSubdirectory("modelpack-").FullName, "statistics.safetensors");
        try
        {
            Compute(model, identity, taps, file);
            StatisticsFile opened = StatisticsFile.Open(file, _limits.Cancellation);
            return cached is null ? new TemporaryStatistics(opened, Path.GetDirectoryName(file)!) : opened;
        }
        catch when (cached is null)
        {
            Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
            throw;
        }
    }

    /// <summary>Computes statistics and writes them to a file, without the cache.</summary>
    public void Compute(Model model, string identity, IReadOnlyList<CalibrationTap> taps, string path)
    {
        using ICalibrationRun run = Begin(model, withReference: false);
        using var scratch = new ScratchFile(_limits.MaxMemoryBytes / 4);
        var all = new List<ActivationStatistics>();
        var slices = new GraphSlices(model);
        CalibrationTap[] ordered = [.. taps.OrderBy(t => slices.PositionOf(t.Value)).ThenBy(t => t.Key, StringComparer.Ordinal)];
        long perTap = _limits.MaxMemoryBytes / ShareOfValues / FirstGroup;
        for (int done = 0; done < ordered.Length;)
        {
            List<CalibrationTap> group = Group(ordered.AsSpan(done), perTap);
            done += group.Count;
            using var step = (CollectedStatistics)run.Advance(group, new Dictionary<string, Tensor>());
            foreach (ActivationStatistics s in step.All)
            {
                all.Add(new ActivationStatistics(s.Tap, s.Rows, s.Minimum.ToArray(), s.Maximum.ToArray(), s.Sums.ToArray(), s.Squares.ToArray(), s.Histogram, CollectedStatistics.Move(s.SecondMoments, scratch)));
            }

            // What the values of this group took tells how many the next may have.
            perTap = Math.Max(1, step.All.Max(s => s.Rows * s.Tap.Columns * sizeof(float) / Math.Max(1, Info.Samples)));
        }

        StatisticsFile.Write(path, identity, Info, all, _limits.Cancellation);
    }

    public void Dispose() => _samples.Dispose();

    /// <summary>
    /// The first taps, as many together as fit: their sums into half of the memory, the values of one sample into an eighth. Never depends on the number of threads, for where a graph is cut shows in the last
    /// bits of what it computes.
    /// </summary>
    private List<CalibrationTap> Group(ReadOnlySpan<CalibrationTap> taps, long bytesPerValue)
    {
        long values = Math.Clamp(_limits.MaxMemoryBytes / ShareOfValues / bytesPerValue, 1, MostTogether);
        var group = new List<CalibrationTap>();
        long bytes = 0;
        foreach (CalibrationTap tap in taps)
        {
            bytes += tap.Bytes;
            if (group.Count > 0 && (bytes > _limits.MaxMemoryBytes / 2 || group.Count >= values))
            {
                break;
            }

            group.Add(tap);
        }

        return group;
    }

    /// <summary>The cached statistics when they are there, whole, and of these taps; a damaged file is taken for none and written anew.</summary>
    private StatisticsFile? TryOpen(string path, IReadOnlyList<CalibrationTap> taps)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            StatisticsFile file = StatisticsFile.Open(path, _limits.Cancellation);
            if (taps.All(t => file.All.Any(s => s.Tap == t)))
            {
                return file;
            }

            file.Dispose();
            return null;
        }
        catch (ModelPackException)
        {
            return null;
        }
    }

    private string Key(string identity, IReadOnlyList<CalibrationTap> taps)
    {
        var hash = new XxHash128();
        string text = string.Create(CultureInfo.InvariantCulture, $"{ArtifactContent.ToolVersion}\n{identity}\n{Info.Kind} {Info.Xxh128} {Info.Samples} {Info.Window}\n");
        hash.Append(Encoding.UTF8.GetBytes(text + string.Join('\n', taps.Select(t => t.ToString()).Order(StringComparer.Ordinal))));
        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }

    internal static string DefaultCacheFolder() => CacheFolder.Of("calibration");

    private sealed class TemporaryStatistics(StatisticsFile file, string folder) : ICalibrationStatistics
    {
        public ActivationStatistics this[string key] => file[key];

        public void Dispose()
        {
            file.Dispose();
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Statistics from a file that the user gives.</summary>
    private sealed class GivenStatistics(string path, CancellationToken cancellation) : ICalibrator
    {
        private readonly List<(string From, string To, IReadOnlyDictionary<string, double[]> Divisors)> _rescaled = [];

        public CalibrationInfo Info { get; } = ReadInfo(path, cancellation);

        public bool CanRun => false;

        public void Rescale(Model from, Model to, IReadOnlyDictionary<string, double[]> divisors) =>
            _rescaled.Add((ModelIdentity.Of(from, cancellation), ModelIdentity.Of(to, cancellation), divisors));

        public ICalibrationStatistics Collect(Model model, IReadOnlyList<CalibrationTap> taps)
        {
            StatisticsFile file = StatisticsFile.Open(path, cancellation);
            string identity = ModelIdentity.Of(model, cancellation);
            IReadOnlyDictionary<string, double[]>? divisors = _rescaled.Where(r => r.From == file.ModelHash && r.To == identity).Select(r => r.Divisors).FirstOrDefault();
            string? wrong = file.ModelHash != identity && divisors is null ? "they were taken from another model, or after other passes than the recipe runs before quantize"
                : taps.FirstOrDefault(t => !file.All.Any(s => s.Tap == t)) is CalibrationTap missing ? $"they have nothing about '{missing.Value}' that fits"
                : null;
            wrong ??= taps.FirstOrDefault(t => divisors is not null && t.Patches is null && divisors.TryGetValue(t.Value, out double[]? d) && d.Length != t.Columns) is CalibrationTap whole ? $"channels of '{whole.Value}' were scaled one by one after they were taken" : null;
            if (wrong is null)
            {
                return divisors is null ? file : new RescaledStatistics(file, divisors);
            }

            file.Dispose();
            throw new ModelPackException(ErrorCodes.StatisticsOfAnotherModel, $"statistics cannot be used: {wrong}", path);
        }

        public ICalibrationRun Begin(Model model, bool withReference) => throw new NotSupportedException("there are no data to run");

        private static CalibrationInfo ReadInfo(string path, CancellationToken cancellation)
        {
            using StatisticsFile file = StatisticsFile.Open(path, cancellation);
            return file.Info;
        }
    }
}
