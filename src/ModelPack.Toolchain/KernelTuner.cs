using System.Diagnostics;
using System.Globalization;
using System.IO.Hashing;
using System.Text;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler.Planning;
using ModelPack.Kernels;
using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>
/// Measures products as plans ask for them, within a limit of time, and keeps what was measured in a file for this processor: the next plan does not measure the same again.
/// </summary>
/// <remarks>The file is lines of text, a product and its seconds; lines that are not are ignored. It is replaced as a whole, so that two processes at once lose measurements at worst.</remarks>
public sealed class KernelTuner : IProductTimes
{
    private static readonly TimeSpan Enough = TimeSpan.FromMilliseconds(80);

    private const int EmptyRuns = 500;
    private static readonly Lazy<double> EmptyRun = new(MeasureEmptyRun);

    private readonly TimeSpan _limit;
    private readonly int _threads;
    private readonly IProgress<ToolProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly string _path;
    private readonly Dictionary<string, double> _seconds;
    private readonly HashSet<string> _asked = new(StringComparer.Ordinal);

    /// <summary>Products whose weight cannot be made, or that no kernel reads: asking again makes nothing better.</summary>
    private readonly HashSet<string> _refused = new(StringComparer.Ordinal);

    private TimeSpan _spent;

    /// <param name="limit">Time for measuring.</param>
    /// <param name="threads">Threads of the products; 0 means one per processor.</param>
    /// <param name="progress">Told what is measured.</param>
    /// <param name="cancellation">Checked between runs.</param>
    public KernelTuner(TimeSpan limit, int threads, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
        : this(limit, threads, CacheFolder.Of("kernels"), progress, cancellation)
    {
    }

    internal KernelTuner(TimeSpan limit, int threads, string folder, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        (_limit, _threads, _progress, _cancellation) = (limit, threads == 0 ? Environment.ProcessorCount : threads, progress, cancellation);
        string machine = Machine();
        _path = Path.Combine(folder, $"{XxHash64.HashToUInt64(Encoding.UTF8.GetBytes(machine)):x16}.txt");
        _seconds = Read(_path);
    }

    /// <summary>Products that were measured.</summary>
    public int Measured { get; private set; }

    /// <summary>Products that had been measured before.</summary>
    public int Known { get; private set; }

    /// <summary>Products that there was no time for.</summary>
    public int Unmeasured { get; private set; }

    /// <summary>Choices by time.</summary>
    public int Choices { get; private set; }

    /// <summary>Choices of another kernel than the usual one.</summary>
    public int Changed { get; private set; }

    /// <summary>Time spent on measuring.</summary>
    public TimeSpan Spent => _spent;

    /// <inheritdoc/>
    public double? Seconds(ProductCandidate candidate)
    {
        ArgumentNullException.ThrowIfNull(candidate);
        string key = Key(candidate, _threads);
        bool first = _asked.Add(key);
        if (_seconds.TryGetValue(key, out double known))
        {
            Known += first ? 1 : 0;
            return known;
        }

        if (_spent >= _limit || _refused.Contains(key) || candidate.Outputs > int.MaxValue || candidate.Inputs > int.MaxValue || candidate.Rows > int.MaxValue)
        {
            Unmeasured += first ? 1 : 0;
            return null;
        }

        long start = Stopwatch.GetTimestamp();
        _progress?.Report(new ToolProgress("tune", Measured, 0, string.Create(CultureInfo.InvariantCulture, $"{candidate.Kernel} {candidate.Outputs}x{candidate.Inputs}")));
        var options = new KernelBenchmarkOptions { Rows = (int)candidate.Outputs, Columns = (int)candidate.Inputs, Batch = (int)candidate.Rows, Threads = _threads, Enough = Enough };
        IReadOnlyList<BenchedKernel> results;
        try
        {
            results = Measure(candidate, options);
        }
        catch (ModelPackException)
        {
            // The plan goes on with the usual kernel.
            _refused.Add(key);
            Unmeasured += first ? 1 : 0;
            _spent += Stopwatch.GetElapsedTime(start);
            return null;
        }

        foreach (BenchedKernel result in results)
        {
            string measured = Key(candidate with { Kernel = result.Kernel }, _threads);
            _asked.Add(measured);
            _seconds[measured] = Product(result, result.Many);
            Measured++;
        }

        _spent += Stopwatch.GetElapsedTime(start);
        Save();
        return _seconds.TryGetValue(key, out double seconds) ? seconds : null;
    }

    /// <inheritdoc/>
    public void Chosen(string kernel, string usual)
    {
        Choices++;
        Changed += kernel == usual ? 0 : 1;
    }

    /// <summary>Keeps what a benchmark measured of dense products.</summary>
    public static void Keep(BenchKernelsResult result) => Keep(result, CacheFolder.Of("kernels"));

    internal static void Keep(BenchKernelsResult result, string folder)
    {
        ArgumentNullException.ThrowIfNull(result);
        var tuner = new KernelTuner(TimeSpan.Zero, result.Threads, folder, null, default);
        foreach (BenchedKernel kernel in result.Results.Where(k => k.Sparsity == 0 && NumberFormats.All.Any(f => f.Id == UnitSpec.Parse(k.Format).Id)))
        {
            var candidate = new ProductCandidate(kernel.Kernel, UnitSpec.Parse(kernel.Format), result.Rows, result.Columns, result.Batch);
            tuner._seconds[Key(candidate, 1)] = Product(kernel, kernel.One);
            tuner._seconds[Key(candidate, result.Threads)] = Product(kernel, kernel.Many);
        }

        tuner.Save();
    }

    private IReadOnlyList<BenchedKernel> Measure(ProductCandidate candidate, KernelBenchmarkOptions options) =>
        OrtProduct.TryParse(candidate.Kernel, out OrtProduct? product) ? [KernelBenchmark.Theirs(product, options, _cancellation)]
        : candidate.Structure is UnitSpec structure ? [SparseKernelBenchmark.One(structure, candidate.Format.ToString(), candidate.SparsityPercent, options, _cancellation).Kernel]
        : KernelBenchmark.Format(candidate.Format.ToString(), options, _cancellation);

    /// <summary>Seconds of the product alone: ONNX Runtime's are measured as runs of a model, and beginning a run is not part of a product inside another model.</summary>
    private static double Product(BenchedKernel kernel, KernelTime time)
    {
        double seconds = time.Milliseconds / 1e3;
        return OrtProduct.TryParse(kernel.Kernel, out _) ? Math.Max(seconds - EmptyRun.Value, seconds / 100) : seconds;
    }

    /// <summary>Seconds of a run that computes next to nothing.</summary>
    private static double MeasureEmptyRun()
    {
        using Runtime.PackedModel model = OrtProduct.Chain(1);
        using OrtValue input = OrtValue.CreateTensorValueFromMemory(new float[1], [1]);
        var inputs = new Dictionary<string, OrtValue> { ["x"] = input };
        return Enumerable.Range(0, EmptyRuns).Min(_ => KernelBenchmark.Seconds(() => model.Run(inputs).Dispose()));
    }

    /// <summary>What times depend on besides the product.</summary>
    private static string Machine() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Processor.Name}\n{string.Join(' ', HardwareProfiler.Isa())}\n{KernelTiers.Current}\n{Environment.ProcessorCount}\n{ArtifactContent.ToolVersion}\n{OrtEnv.Instance().GetVersionString()}");

    /// <summary>ONNX Runtime's products do not depend on the format beyond what their name says.</summary>
    private static string Key(ProductCandidate candidate, int threads)
    {
        bool theirs = OrtProduct.TryParse(candidate.Kernel, out _);
        string format = theirs ? ""
            : candidate.Structure is UnitSpec structure ? string.Create(CultureInfo.InvariantCulture, $" {structure} {candidate.SparsityPercent} % {candidate.Format}")
            : " " + NumberFormats.Bind(candidate.Format, new Shape(1, candidate.Inputs)).Spec;
        return string.Create(CultureInfo.InvariantCulture, $"{candidate.Kernel}{format} {candidate.Outputs}x{candidate.Inputs} rows={candidate.Rows} threads={threads}");
    }

    private static Dictionary<string, double> Read(string path)
    {
        var seconds = new Dictionary<string, double>(StringComparer.Ordinal);
        try
        {
            foreach (string line in File.Exists(path) ? File.ReadLines(path) : [])
            {
                int tab = line.LastIndexOf('\t');
                if (tab > 0 && double.TryParse(line.AsSpan(tab + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value > 0 && double.IsFinite(value))
                {
                    seconds[line[..tab]] = value;
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A cache that cannot be read is an empty one.
        }

        return seconds;
    }

    private void Save()
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_path)!);
            string temporary = OutputChecks.TemporaryName(_path);
            File.WriteAllLines(temporary, _seconds.OrderBy(s => s.Key, StringComparer.Ordinal).Select(s => string.Create(CultureInfo.InvariantCulture, $"{s.Key}\t{s.Value:R}")));
            File.Move(temporary, _path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Measured again next time.
        }
    }
}
