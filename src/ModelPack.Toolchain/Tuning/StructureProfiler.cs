using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>Decomposes one layer at a time at several ranks and measures what the model loses.</summary>
public static class StructureProfiler
{
    private static readonly int[] Percents = [90, 75, 50, 25, 10];

    /// <summary>Passes before it.</summary>
    private static readonly string[] Before = ["canonicalize", "fold-constants", "share-tensors"];

    /// <summary>Measures, and writes the profile as JSON (<see cref="TuneRequest.Output"/>) with a heat map (.svg) beside it. The target is not looked at.</summary>
    /// <param name="request">Model, data and how much of them; data are needed.</param>
    /// <param name="structure">A structure of pass <c>decompose</c>.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="cancellation">Stops; nothing was written then.</param>
    /// <exception cref="ModelPackException">The input, the data or the output is bad; MP2231: nothing can be decomposed.</exception>
    public static StructureProfile Run(TuneRequest request, string structure, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        OutputChecks.CheckWritable(request.Output);
        using ImportedModel imported = ModelInput.Import(request.Input, weightsOnly: false, out ModelPackException? notBuilt, cancellation);
        if (notBuilt is not null)
        {
            throw notBuilt;
        }

        OutputChecks.RefuseToOverwriteInputs(request.Output, imported.Files);
        CalibrationLimits limits = Pipelines.Limits(request.Threads, request.MaxMemoryBytes, progress, cancellation);
        string data = request.Data ?? throw new ModelPackException(ErrorCodes.CalibrationData, "losses are measured by running the model: data are needed", request.Input);
        using CalibrationSamples samples = StatisticsFile.Recognizes(data)
            ? throw new ModelPackException(ErrorCodes.CalibrationData, "losses are measured by running the model: data are needed, not statistics of them", data)
            : CalibrationSamples.Open(data, request.Options, cancellation);
        var compile = new CompileRequest { Input = request.Input, Output = request.Output, Threads = request.Threads, MaxMemoryBytes = request.MaxMemoryBytes };
        ICalibrator calibrator = Calibrator.Open(data, request.Options, limits);
        using var owned = calibrator as IDisposable;
        using var scratch = new ScratchFile(request.MaxMemoryBytes / 4);
        PassContext Context() => Pipelines.CreateContext(compile, cancellation, calibrator, planOnly: false, scratch, progress);
        Model plain = new PassManager([.. Before.Select(Plain)]).Run(imported.Model, Context());
        Dictionary<string, Tensor>[] forms = [.. Percents.Select(p => Decomposed(imported.Model, structure, p, request.Sets, Context()))];
        using var probe = new LossProbe(plain, samples, request.Samples, limits);
        IReadOnlyDictionary<string, string> kinds = TensorKinds.Classify(plain);
        Tensor[] tensors = [.. plain.Graph.Initializers.Where(t => forms.Any(f => f.ContainsKey(t.Name)))];
        if (tensors.Length == 0)
        {
            throw new ModelPackException(ErrorCodes.NothingToTune, "pass 'decompose' finds no weights to decompose in this model", request.Input);
        }

        var rows = new List<ProfiledTensor>();
        foreach (Tensor tensor in tensors)
        {
            Tensor?[] made = [.. forms.Select(f => f.GetValueOrDefault(tensor.Name))];
            double?[] losses = [.. made.Select(m => m is null ? (double?)null : probe.Measure(new Dictionary<string, Tensor>(StringComparer.Ordinal) { [m.Name] = m }))];
            int?[] ranks = [.. made.Select(m => m is null ? (int?)null : int.Parse(TuneCandidate.RankOf(m), CultureInfo.InvariantCulture))];
            rows.Add(new ProfiledTensor(tensor.Name, tensor.Shape.Dims, kinds.GetValueOrDefault(tensor.Name, "other"), ranks, losses));
            limits.Progress?.Invoke("structure", rows.Count, tensors.Length, tensor.Name);
        }

        var profile = new StructureProfile
        {
            Input = request.Input,
            Output = request.Output,
            Structure = structure,
            LossKind = probe.IsLanguageModel ? "divergence" : "output-noise",
            Data = samples.Info.Name,
            Samples = probe.Count,
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
            Percents = Percents,
            Tensors = rows,
        };
        string stem = request.Output.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? request.Output[..^".json".Length] : request.Output;
        TuneFiles.WriteWhole($"{stem}.svg", HeatMap.Draw(profile));
        TuneFiles.WriteWhole(request.Output, TuneFiles.ProfileJson(profile));
        return profile;
    }

    private static IPass Plain(string pass)
    {
        IPassFactory factory = PassCatalog.Get(pass);
        return factory.Create(PassOptions.Bind(factory, []), new TensorRules([]));
    }

    /// <summary>All layers at a share of their parameters, whitened but not healed: each is to be looked at alone.</summary>
    private static Dictionary<string, Tensor> Decomposed(Model imported, string structure, int percent, IReadOnlyList<string> sets, PassContext context)
    {
        bool filters = structure is "tucker2" or "cp";
        var options = new JsonObject { [filters ? "convolutions" : "structure"] = structure, ["parameters_percent"] = percent, ["allocation"] = "uniform", ["exclusions"] = "none", ["heal"] = false, ["rank_multiple"] = 1 };
        foreach (string set in sets)
        {
            int at = set.IndexOf('=', StringComparison.Ordinal);
            string key = at > 0 && set.StartsWith("decompose.", StringComparison.Ordinal) ? set["decompose.".Length..at]
                : throw new ModelPackException(ErrorCodes.BadCandidate, $"'{set}': a profile of structures takes options of pass decompose only, as in decompose.min_elements=64");
            options[key] = JsonNode.Parse(set[(at + 1)..] is var value && (long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _) || value is "true" or "false") ? value : $"\"{value}\"");
        }

        try
        {
            return new PassManager([.. Before.Select(Plain), TuneCandidate.Pass("decompose", options)]).Run(imported, context).Graph.Initializers.Where(t => TuneCandidate.IsFactors(t.Encoding) && (!filters || t.Shape.Rank > 2)).ToDictionary(t => t.Name, StringComparer.Ordinal);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.RankBudget)
        {
            return []; // No rank is as small as that.
        }
    }
}
