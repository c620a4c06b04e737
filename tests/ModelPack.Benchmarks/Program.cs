using BenchmarkDotNet.Running;
using ModelPack.Benchmarks;

// `--quick [results-folder]`: minimum times of a few seconds, as a table beside memcpy; `--codecs [results-folder]`: the lossless codecs.
// Otherwise BenchmarkDotNet with its own options.
if (args is ["--quick", ..])
{
    return QuickTables.Run(args.Length > 1 ? args[1] : null, Console.Out);
}

if (args is ["--codecs", ..])
{
    return QuickTables.RunCodecs(args.Length > 1 ? args[1] : null, Console.Out);
}

// `--llama <folder>`: a checkpoint of 1.24 billion random parameters, to measure generation with.
if (args is ["--llama", var llama])
{
    return ModelPack.Benchmarks.Generation.SyntheticLlama.Write(llama);
}

// `--deltas`: differences between versions of a model, and GGUF blocks.
if (args is ["--deltas"])
{
    Console.WriteLine(ModelPack.Benchmarks.Codecs.DeltaTable.ToMarkdown());
    return 0;
}

// `--algorithms`: seconds of the weight algorithms on one large layer, on two threads.
if (args is ["--algorithms"])
{
    Console.WriteLine(ModelPack.Benchmarks.Algorithms.WeightAlgorithmTable.ToMarkdown(2));
    return 0;
}

// `--choices <profile> [rows] [exact|fast]`: the kernels that plans take, beside the fastest.
if (args is ["--choices", var profile, ..])
{
    long rows = args.Length > 2 ? long.Parse(args[2], System.Globalization.CultureInfo.InvariantCulture) : 1;
    ModelPack.Compiler.Planning.PlanAccuracy accuracy = args.Length > 3 && args[3] == "exact" ? ModelPack.Compiler.Planning.PlanAccuracy.Exact : ModelPack.Compiler.Planning.PlanAccuracy.Fast;
    Console.WriteLine(ModelPack.Benchmarks.Kernels.ChoiceTable.ToMarkdown(ModelPack.Toolchain.HardwareProfiles.Load(profile), rows, accuracy));
    return 0;
}

// `--decompositions`: truncated decompositions of large matrices on two threads; `--ranks <folder> <checkpoint> <windows> <tokens>...`: perplexity by parameters for every structure, as points, table and pictures;
// `--ranks <folder>` draws the points that are there.
if (args is ["--decompositions"])
{
    Console.WriteLine(ModelPack.Benchmarks.Decomposition.DecompositionTimes.ToMarkdown(2));
    return 0;
}

// `--fused-ranks <rows> <format>`: both products of low rank for some rows at a time, beside one after the other.
if (args is ["--fused-ranks", var fusedRows, var fusedFormat])
{
    Console.WriteLine(ModelPack.Benchmarks.Decomposition.FusedRankTable.ToMarkdown(int.Parse(fusedRows, System.Globalization.CultureInfo.InvariantCulture), fusedFormat));
    Console.WriteLine(ModelPack.Benchmarks.Decomposition.FusedRankTable.NodeCost());
    return 0;
}

// `--rank-choices <rows> [format] [4096]`: products of low rank by factors and as a whole, and what plans choose.
if (args is ["--rank-choices", var activations, ..])
{
    Console.WriteLine(ModelPack.Benchmarks.Decomposition.RankChoiceTable.ToMarkdown(int.Parse(activations, System.Globalization.CultureInfo.InvariantCulture), args.Length > 2 ? args[2] : "", args is [.., "4096"]));
    return 0;
}

if (args is ["--ranks", var points])
{
    return ModelPack.Benchmarks.Decomposition.RankCurve.Draw(points);
}

if (args is ["--ranks", var ranks, var decomposed, var some, ..])
{
    return ModelPack.Benchmarks.Decomposition.RankCurve.Run(ranks, decomposed, args[4..], int.Parse(some, System.Globalization.CultureInfo.InvariantCulture), Console.Out);
}

// `--numbers [results-folder]`: every number format as `modelpack bench numbers` measures it, as a table.
if (args is ["--numbers", ..])
{
    return NumberTables.Run(args.Length > 1 ? args[1] : null, Console.Out);
}

// `--sparsity <folder> <checkpoint> <windows> <text>...`: perplexity by sparsity for every structure, as points, table and pictures; `--sparsity <folder>` draws the points that are there.
if (args is ["--sparsity", var curve])
{
    return ModelPack.Benchmarks.Sparsity.SparsityCurve.Draw(curve);
}

if (args is ["--sparsity", var made, var checkpoint, var windows, ..])
{
    return ModelPack.Benchmarks.Sparsity.SparsityCurve.Run(made, checkpoint, args[4..], int.Parse(windows, System.Globalization.CultureInfo.InvariantCulture), Console.Out);
}

// `--contextual <width> <neurons> <f32|bf16> <rows>...`: a gated perceptron that leaves out half of its neurons at run time.
if (args is ["--contextual", var width, var neurons, var format, ..])
{
    static int Number(string text) => int.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
    Console.WriteLine(ModelPack.Benchmarks.Sparsity.ContextualTable.ToMarkdown(Number(width), Number(neurons), format, [.. args[4..].Select(Number)]));
    return 0;
}

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
return 0;
