using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>Wires the services that passes may use.</summary>
internal static class Pipelines
{
    /// <summary>Worker threads for a request: 0 means one per processor.</summary>
    public static int Threads(int requested) => requested > 0 ? requested : Environment.ProcessorCount;

    /// <summary>A built-in recipe or recipe file with its overrides, checked against the registered passes.</summary>
    public static ResolvedRecipe ResolveRecipe(string? nameOrPath, IEnumerable<string> sets) =>
        sets.Aggregate(RecipeCatalog.Get(nameOrPath), (recipe, set) => recipe.With(set)).Resolve(PassCatalog.All);

    public static PassContext CreateContext(
        CompileRequest request, CancellationToken cancellation, ICalibrator? calibrator = null, bool planOnly = false, ScratchFile? scratch = null, IProgress<ToolProgress>? progress = null) => new()
        {
            Seed = request.Seed,
            Threads = Threads(request.Threads),
            MaxMemoryBytes = request.MaxMemoryBytes,
            Time = TimeProvider.System,
            ConstantEvaluator = new OrtConstantEvaluator(),
            OpenValues = EncodingValues.Open,
            BindFormat = NumberFormats.Bind,
            ValidateStructure = s => Structures.Structures.Get(s.Structure.Id).Validate(s),
            ChooseFormat = ChooseFormat,
            FindSparsity = e => SparsityDetector.Find(e, cancellation: cancellation),
            Calibrator = calibrator,
            PlanOnly = planOnly,
            Storage = scratch is null ? null : scratch.Keep,
            Progress = Reporter(progress),
            Cancellation = cancellation,
        };

    /// <summary>Limits of a calibration run.</summary>
    public static CalibrationLimits Limits(int threads, long maxMemoryBytes, IProgress<ToolProgress>? progress, CancellationToken cancellation) =>
        new(Threads(threads), maxMemoryBytes, Reporter(progress), cancellation);

    private static Action<string, long, long, string?>? Reporter(IProgress<ToolProgress>? progress) =>
        progress is null ? null : (activity, done, total, item) => progress.Report(new ToolProgress(activity, done, total, item));

    /// <summary>Decides <c>scale=auto</c>: f16 scales where every block's scale is a normal f16 number, f32 otherwise.</summary>
    private static UnitSpec ChooseFormat(UnitSpec format, WeightEncoding values)
    {
        if (format.Text("scale", "f32") != "auto")
        {
            return format;
        }

        UnitSpec half = format.With("scale", "f16");
        return IntBlockScales.FitsHalf(EncodingValues.Open(values), half) ? half : format.With("scale", "f32");
    }
}
