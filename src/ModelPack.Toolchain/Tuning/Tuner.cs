using System.Collections.Immutable;
using System.Diagnostics;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>Searches an encoding for every weight, so that the model fits a target and its outputs move least.</summary>
public static class Tuner
{
    /// <summary>The built-in recipe that stands for such a search.</summary>
    public const string RecipeName = "auto";

    /// <summary>Number formats to choose from, smallest first: integers, which have the best kernels, and normal floats, which have the least errors at 4 bits.</summary>
    public static IReadOnlyList<string> DefaultCandidates { get; } =
    [
        "int2(block=32,search=mse,symmetric=false)",
        "int3(block=128,search=mse,symmetric=false)",
        "int3(block=32,search=mse,symmetric=false)",
        "int4(block=128,search=mse)",
        "int4(block=128,search=mse,symmetric=false)",
        "nf4(block=128)",
        "int4(block=32,search=mse)",
        "int5(block=128)",
        "int6(block=128)",
        "int8(block=128)",
    ];

    /// <summary>What a joint search adds to the number formats: fewer parameters, and fewer weights that are not zero, each with as many bits as would else be too many for the same size.</summary>
    public static IReadOnlyList<string> JointCandidates { get; } =
    [
        "pivotrank(percent=90)>int4(block=32,search=mse)",
        "lowrank(percent=75)>int6(block=128)",
        "pivotrank(percent=75)>int8(block=128)",
        "lowrank(percent=50)>int8(block=128)",
        "sparse(pattern=2:4)>int6(block=128)",
        "sparse(pattern=32:64)>int6(block=128)",
        "sparse(pattern=32:64)>int8(block=128)",
        "sparse(percent=75)>int8(block=128)",
    ];

    /// <summary>Searches, and writes the choice as a recipe, with the front of best choices beside it (.front.json, .front.csv, .front.svg).</summary>
    /// <exception cref="ModelPackException">The input, the data or the output is bad; MP2230: the target cannot be reached.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing was written but the journal, from which the same search goes on.</exception>
    public static TuneResult Run(TuneRequest request, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        OutputChecks.CheckWritable(request.Output);
        using ImportedModel imported = ModelInput.Import(request.Input, weightsOnly: false, out ModelPackException? notBuilt, cancellation);
        if (notBuilt is not null && request.Data is not null)
        {
            throw notBuilt;
        }

        OutputChecks.RefuseToOverwriteInputs(request.Output, imported.Files);
        using GeneratedData? generated = GeneratedData.MakeIfAsked(
            request.Data, request.Input, imported.Model, Pipelines.Limits(request.Threads, request.MaxMemoryBytes, progress, cancellation));
        request = generated is null ? request : request with { Data = generated.Path, Options = generated.Read(request.Options) };
        (Recipe recipe, TuneResult result) = Search(imported, request, progress, cancellation);
        TuneFiles.Write(request.Output, recipe, result);
        return result;
    }

    /// <summary>Searches only.</summary>
    internal static (Recipe Recipe, TuneResult Result) Search(ImportedModel imported, TuneRequest request, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        if (imported.Model.Kind != ModelKind.Onnx && request.Data is not null)
        {
            throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph that could be run on data: give the model as .onnx, or search by weights alone, without data", request.Input);
        }

        CalibrationLimits limits = Pipelines.Limits(request.Threads, request.MaxMemoryBytes, progress, cancellation);
        using CalibrationSamples? samples = request.Data is null ? null : OpenData(request, cancellation);
        Recipe recipe = request.Sets.Aggregate(BaseRecipe(calibrated: samples is not null), (r, set) => r.With(set));
        var compile = new CompileRequest { Input = request.Input, Output = request.Output, Threads = request.Threads, MaxMemoryBytes = request.MaxMemoryBytes };
        IReadOnlyList<string> candidates = [.. request.Candidates.Count > 0 ? request.Candidates : DefaultCandidates, .. request.Joint ? JointCandidates : []];
        bool joint = candidates.Any(c => TuneCandidate.Parse(c).IsStructured);
        using OpenCalibrator? calibrator = joint && samples is not null ? new(Calibrator.Open(request.Data!, request.Options, limits)) : null;
        using var scratch = new ScratchFile(request.MaxMemoryBytes / 4);
        TuneSpace space = TuneSpace.Open(imported.Model, recipe, candidates, makes => Pipelines.CreateContext(compile, cancellation, makes ? calibrator?.Value : null, planOnly: !makes, scratch, progress));
        using LossProbe? probe = samples is null ? null : new LossProbe(space.Model, samples, request.Samples, limits);
        string context = samples is null ? "" : $"{ArtifactContent.ToolVersion} {ModelIdentity.Of(space.Model, cancellation)} {samples.Info} {probe!.Count}";
        using TuneJournal journal = TuneJournal.Open(samples is null || request.Options.NoCache ? null : JournalPath(request.Options));
        var table = new LossTable(space, probe, journal, context, limits);
        var search = new TuneSearch(space, table, request.Target, ModelCompiler.InputBytes(imported), probe?.IsLanguageModel ?? false);
        TuneOutcome outcome = search.Run();
        if (joint && space.Only(c => !TuneCandidate.Parse(c).IsStructured) is { Candidates.Count: > 0 } formats)
        {
            // What formats alone would have done is a choice too, and its loss is measured like that of any other.
            outcome = Better(outcome, formats, new LossTable(formats, probe, journal, context, limits), request.Target, ModelCompiler.InputBytes(imported), probe?.IsLanguageModel ?? false);
        }

        var result = new TuneResult
        {
            Input = request.Input,
            Output = request.Output,
            Target = request.Target.ToString(),
            LossKind = probe is null ? "weight-error" : probe.IsLanguageModel ? "divergence" : "output-noise",
            Data = samples?.Info.Name,
            Samples = probe?.Count ?? 0,
            Loss = outcome.Chosen.Loss ?? outcome.Chosen.Predicted,
            BitsPerWeight = outcome.Chosen.BitsPerWeight,
            InputBytes = ModelCompiler.InputBytes(imported),
            OutputBytes = outcome.Chosen.Bytes,
            Measurements = table.Measurements,
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
            Front = outcome.Front,
            Uniform = outcome.Uniform,
            Tensors = outcome.Tensors,
        };
        return (WithRules(recipe, outcome.Tensors, request.Target, space), result);
    }

    /// <summary>The better of what was found and what number formats alone find; a target that they do not reach is none.</summary>
    private static TuneOutcome Better(TuneOutcome found, TuneSpace formats, LossTable table, TuneTarget target, long inputBytes, bool nats)
    {
        TuneOutcome alone;
        try
        {
            alone = new TuneSearch(formats, table, target, inputBytes, nats).Run();
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.TargetOutOfReach)
        {
            return found;
        }

        double Loss(TuneOutcome o) => o.Chosen.Loss ?? o.Chosen.Predicted;
        bool better = target.Kind == TuneTargetKind.Loss ? alone.Chosen.Bytes < found.Chosen.Bytes : Loss(alone) < Loss(found);
        TunePoint[] points = [.. found.Front.Concat(alone.Front).Select(p => p with { Chosen = false }).Append((better ? alone : found).Chosen)];
        TunePoint[] front = [.. points.Where(p => p.Chosen || !points.Any(o => o.Bytes <= p.Bytes && (o.Loss ?? o.Predicted) < (p.Loss ?? p.Predicted))).OrderBy(p => p.Bytes).ThenByDescending(p => p.Chosen).DistinctBy(p => p.Bytes)];
        return (better ? alone : found) with { Front = front, Uniform = found.Uniform };
    }

    private sealed record OpenCalibrator(ICalibrator Value) : IDisposable
    {
        public void Dispose() => (Value as IDisposable)?.Dispose();
    }

    private static CalibrationSamples OpenData(TuneRequest request, CancellationToken cancellation) => StatisticsFile.Recognizes(request.Data!)
        ? throw new ModelPackException(ErrorCodes.CalibrationData, "losses are measured by running the model: data are needed, not statistics of them", request.Data)
        : CalibrationSamples.Open(request.Data!, request.Options, cancellation);

    private static string JournalPath(CalibrationOptions options) => Path.Combine(options.CacheFolder ?? Calibrator.DefaultCacheFolder(), "tune.jsonl");

    /// <summary>The passes; without data no algorithm that needs them.</summary>
    private static Recipe BaseRecipe(bool calibrated)
    {
        Recipe recipe = RecipeCatalog.Get(RecipeName);
        return calibrated ? recipe : recipe with
        {
            Passes = [.. recipe.Passes.Select(p => p.Pass == "quantize" ? new RecipeStep("quantize", new JsonObject { ["format"] = "int8", ["block"] = 128 }) : p)],
        };
    }

    private static Recipe WithRules(Recipe recipe, IReadOnlyList<TunedTensor> tensors, TuneTarget target, TuneSpace space)
    {
        ILookup<string, string> made = tensors.Where(t => t.Format != TuneSearch.Keep).Select(t => (t.Name, Candidate: TuneCandidate.Parse(t.Format))).Where(t => t.Candidate.IsStructured)
            .ToLookup(t => t.Candidate.PassName, t => t.Name, StringComparer.Ordinal);
        RecipeStep[] making = [.. made.OrderBy(g => g.Key, StringComparer.Ordinal).Select(g =>
        {
            JsonObject options = TuneCandidate.Uniform(g.Key);
            options["include"] = new JsonArray([.. g.Select(n => (JsonNode)n)]);
            return new RecipeStep(g.Key, options);
        })];
        recipe = made.Contains("sparsify") ? TuneSpace.WithSparsity(recipe) : recipe;
        return recipe with
        {
            Summary = $"Chosen by 'modelpack tune' for {target}",
            Passes = [.. recipe.Passes.SelectMany(p => p.Pass == "quantize" ? (RecipeStep[])[.. making, p] : [p])],
            Rules =
            [
                .. recipe.Rules,
                .. tensors.Select(t => new RecipeRule(t.Name, false, Options(t, space))),
            ],
        };
    }

    private static ImmutableSortedDictionary<string, JsonObject?> Options(TunedTensor tensor, TuneSpace space)
    {
        var none = ImmutableSortedDictionary.Create<string, JsonObject?>(StringComparer.Ordinal);
        if (tensor.Format == TuneSearch.Keep)
        {
            return none.Add("quantize", null);
        }

        var candidate = TuneCandidate.Parse(tensor.Format);
        ImmutableSortedDictionary<string, JsonObject?> options = none.Add("quantize", candidate.QuantizeOptions());
        int index = space.Candidates.ToList().IndexOf(tensor.Format);
        return candidate.IsStructured ? options.Add(candidate.PassName, candidate.Options(space.Tensors.First(t => t.Original.Name == tensor.Name).Forms[index]!)) : options;
    }
}
