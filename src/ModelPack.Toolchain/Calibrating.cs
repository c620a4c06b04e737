using System.Diagnostics;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>What to calibrate and how.</summary>
public sealed record CalibrateRequest
{
    /// <summary>An .onnx file, or a checkpoint folder of a known architecture.</summary>
    public required string Input { get; init; }

    /// <summary>A token file or a folder of .npy inputs.</summary>
    public required string Data { get; init; }

    /// <summary>The file of statistics to write.</summary>
    public required string Output { get; init; }

    /// <summary>The recipe whose passes before the first that reads statistics are run first, and whose statistics are taken; null: <c>int4-calibrated</c>.</summary>
    public string? Recipe { get; init; }

    /// <summary>Which part of the data is used.</summary>
    public CalibrationOptions Options { get; init; } = new();

    /// <summary>False to leave out second moments, which GPTQ needs and which take K^2 numbers per layer.</summary>
    public bool SecondMoments { get; init; } = true;

    /// <summary>Memory for buffers, in bytes.</summary>
    public long MaxMemoryBytes { get; init; } = 2L << 30;

    /// <summary>Worker threads; 0 means one per processor. Never changes the statistics.</summary>
    public int Threads { get; init; }
}

/// <summary>Statistics of activations on calibration data, for use by later compilations.</summary>
public static class Calibrating
{
    private const string DefaultRecipe = "int4-calibrated";

    /// <summary>Runs the model on the data and writes the statistics. The output appears whole or not at all.</summary>
    /// <exception cref="ModelPackException">The input, the data or the output is bad.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing was written.</exception>
    public static CalibrateResult Run(CalibrateRequest request, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        OutputChecks.CheckWritable(request.Output);
        ResolvedRecipe recipe = Pipelines.ResolveRecipe(request.Recipe ?? DefaultRecipe, []);
        using ImportedModel imported = ModelInput.Import(request.Input, weightsOnly: false, out ModelPackException? notBuilt, cancellation);
        if (notBuilt is not null)
        {
            throw notBuilt;
        }

        OutputChecks.RefuseToOverwriteInputs(request.Output, imported.Files);
        CalibrationLimits limits = Pipelines.Limits(request.Threads, request.MaxMemoryBytes, progress, cancellation);
        using GeneratedData? generated = GeneratedData.MakeIfAsked(request.Data, request.Input, imported.Model, limits);
        ICalibrator opened = Calibrator.Open(generated?.Path ?? request.Data, generated?.Read(request.Options) ?? request.Options, limits);
        using var disposing = new Disposing<ICalibrator>(opened);
        if (opened is not Calibrator calibrator)
        {
            throw new ModelPackException(ErrorCodes.CalibrationData, "these are statistics already, not data to take them from", request.Data);
        }

        var compile = new CompileRequest { Input = request.Input, Output = request.Output, Threads = request.Threads, MaxMemoryBytes = request.MaxMemoryBytes };
        IPass[] all = [.. recipe.CreatePasses()];
        IPass[] passes = [.. all.TakeWhile(p => p is not ICalibratedPass)];
        Model model = new PassManager(passes).Run(imported.Model, Pipelines.CreateContext(compile, cancellation, progress: progress));
        IReadOnlyList<CalibrationTap> taps = all.Skip(passes.Length).FirstOrDefault() is ICalibratedPass calibrated ? calibrated.Taps(model)
            : model.Kind == ModelKind.Onnx ? LinearInputs.Of(model, secondMoments: true)
            : [];
        taps = request.SecondMoments ? taps : [.. taps.Where(t => t.Patches is null).Select(t => t with { SecondMoments = false })];
        calibrator.Compute(model, model.Kind == ModelKind.Onnx ? ModelIdentity.Of(model, cancellation) : "", taps, request.Output);
        using StatisticsFile written = StatisticsFile.Open(request.Output, cancellation);
        return new CalibrateResult
        {
            Input = request.Input,
            Output = request.Output,
            OutputBytes = new FileInfo(request.Output).Length,
            DataKind = calibrator.Info.Kind,
            DataName = calibrator.Info.Name,
            DataHash = calibrator.Info.Xxh128,
            Samples = calibrator.Info.Samples,
            Window = calibrator.Info.Window,
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
            PeakMemoryBytes = ProcessMemory.PeakBytes(),
            Values = [.. taps.Select(t => Describe(written[t.Key]))],
        };
    }

    private static CalibratedValue Describe(ActivationStatistics statistics)
    {
        float least = float.PositiveInfinity;
        float greatest = float.NegativeInfinity;
        foreach (float value in statistics.Minimum)
        {
            least = Math.Min(least, value);
        }

        foreach (float value in statistics.Maximum)
        {
            greatest = Math.Max(greatest, value);
        }

        return new CalibratedValue(statistics.Tap.Key, statistics.Tap.Columns, statistics.Rows, least, greatest, statistics.SecondMoments is not null);
    }
}
