using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Pack;
using ModelPack.Runtime.Text;
using ModelPack.Toolchain;

namespace ModelPack.Benchmarks.Decomposition;

/// <summary>
/// Perplexity by parameters for the structures of pass <c>decompose</c>, components plain and quantised. Points are written to <c>curve.csv</c> as they are made; what stands there is not made again, so that a run may be
/// interrupted. Table and pictures are made of all points that there are.
/// </summary>
internal static class RankCurve
{
    private const int Window = 256;

    /// <summary>Without number format: as the weights were stored.</summary>
    private const string Plain = "bf16";

    private static readonly int[] Percents = [75, 50, 90, 30, 60, 40, 80, 70];

    private static readonly (string Name, bool Calibrated, string Options)[] Methods =
    [
        ("svd", false, """ "structure": "lowrank", "exclusions": "none" """),
        ("lowrank", true, """ "structure": "lowrank" """),
        ("pivotrank", true, """ "structure": "pivotrank" """),
        ("mpo-2", true, """ "structure": "mpo", "sites": 2 """),
        ("mpo-3", true, """ "structure": "mpo", "sites": 3 """),
    ];

    private static readonly (string Name, string Format)[] Formats = [(Plain, ""), ("int8", "int8(block=128)"), ("int4", "int4(block=32,search=mse)")];

    /// <param name="folder">Where the files go.</param>
    /// <param name="checkpoint">Folder with model.onnx and calib.tokens.bin.</param>
    /// <param name="texts">Token files, and texts (<c>.txt</c>) to be tokenised.</param>
    /// <param name="windows">Windows of 256 tokens of each that are measured.</param>
    /// <param name="output">For progress.</param>
    public static int Run(string folder, string checkpoint, IReadOnlyList<string> texts, int windows, TextWriter output)
    {
        Directory.CreateDirectory(folder);
        string journal = Path.Combine(folder, "curve.csv");
        List<RankPoint> points = File.Exists(journal) ? [.. File.ReadLines(journal).Skip(1).Select(RankPoint.Parse)] : [];
        if (points.Count == 0)
        {
            File.WriteAllText(journal, RankPoint.Header + "\n");
        }

        string scratch = Directory.CreateTempSubdirectory("curve").FullName;
        try
        {
            (string Name, string File)[] tokens = [.. texts.Select(t => (Path.GetFileName(t).Split('.')[0], Beginning(t, checkpoint, windows, scratch)))];
            foreach (int percent in Percents.Prepend(100))
            {
                foreach ((string method, bool calibrated, string options) in percent == 100 ? [("whole", false, "")] : Methods)
                {
                    bool IsKnown(string format) => tokens.All(t => points.Exists(p => p.Method == method && p.Percent == percent && p.Components == format && p.Text == t.Name));
                    if (Formats.All(f => IsKnown(f.Name)))
                    {
                        continue;
                    }

                    foreach ((string format, string artifact, long bytes) in Make(checkpoint, options, percent, calibrated, scratch))
                    {
                        foreach ((string text, string file) in tokens.Where(_ => !IsKnown(format)))
                        {
                            double perplexity = Evaluation.Perplexity(artifact, file, Window).Perplexity ?? double.NaN;
                            var point = new RankPoint(method, percent, format, text, bytes, perplexity);
                            points.Add(point);
                            File.AppendAllText(journal, point.ToCsv() + "\n");
                            output.WriteLine(point.ToCsv());
                        }
                    }
                }
            }
        }
        finally
        {
            Directory.Delete(scratch, recursive: true);
        }

        return Draw(folder);
    }

    /// <summary>Table and pictures of the points of a folder.</summary>
    public static int Draw(string folder)
    {
        RankPoint[] points = [.. File.ReadLines(Path.Combine(folder, "curve.csv")).Skip(1).Select(RankPoint.Parse)];
        File.WriteAllText(Path.Combine(folder, "curve.md"), RankReport.ToMarkdown(points));
        foreach (IGrouping<string, RankPoint> text in points.GroupBy(p => p.Text))
        {
            File.WriteAllText(Path.Combine(folder, $"curve-{text.Key}.svg"), RankReport.ToSvg([.. text], text.Key));
        }

        return 0;
    }

    /// <summary>Decomposes once, and quantises what came out in every way.</summary>
    private static IEnumerable<(string Format, string Artifact, long Bytes)> Make(string checkpoint, string options, int percent, bool calibrated, string scratch)
    {
        const int threads = 2;
        string recipe = Path.Combine(scratch, "recipe.json");
        string artifact = Path.Combine(scratch, "decomposed.mpack");
        string decompose = options.Length == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $$""", { "pass": "decompose", "parameters_percent": {{percent}}, {{options}} }""");
        string Recipe(string more)
        {
            File.WriteAllText(recipe, $$"""{ "name": "curve", "passes": ["canonicalize"{{more}}] }""");
            return recipe;
        }

        var request = new CompileRequest { Input = Path.Combine(checkpoint, "model.onnx"), Output = artifact, Threads = threads };
        using ImportedModel imported = ModelInput.Import(request.Input, false, out _, CancellationToken.None);
        using OpenCalibrator? calibrator = calibrated ? new(Calibrator.Open(Path.Combine(checkpoint, "calib.tokens.bin"), request.CalibrationOptions, Pipelines.Limits(threads, request.MaxMemoryBytes, null, default))) : null;
        using var kept = new ScratchFile(request.MaxMemoryBytes / 4);
        Model Passes(Model model, string more, ICalibrator? data)
        {
            ResolvedRecipe resolved = Pipelines.ResolveRecipe(Recipe(more), []);
            return new PassManager(resolved.CreatePasses()).Run(model, Pipelines.CreateContext(request, default, data, false, kept));
        }

        Model decomposed = Passes(imported.Model, $$""", "fold-constants", "share-tensors"{{decompose}}""", calibrator?.Value);
        foreach ((string name, string format) in Formats)
        {
            // Linear layers of the decoder alone, which are those that are decomposed.
            Model model = format.Length == 0 ? decomposed : Passes(decomposed, $$""", { "pass": "quantize", "format": "{{format}}", "ends": "keep" }""", null);
            long bytes = PackWriter.Write(artifact, ArtifactContent.Of(model, Pipelines.ResolveRecipe(recipe, []), request, imported, null, default), new PackOptions { Threads = threads }).OutputBytes;
            yield return (name, artifact, bytes);
        }
    }

    /// <summary>The first windows of a token file, or of a text.</summary>
    private static string Beginning(string file, string checkpoint, int windows, string scratch)
    {
        string path = Path.Combine(scratch, Path.GetFileName(file) + ".bin");
        byte[] bytes = file.EndsWith(".txt", StringComparison.Ordinal)
            ? [.. MemoryMarshal.AsBytes<ushort>((ushort[])[.. BytePairTokenizer.Parse(File.ReadAllBytes(Path.Combine(checkpoint, BytePairTokenizer.FileName))).Encode(File.ReadAllText(file)).Select(t => checked((ushort)t))])]
            : File.ReadAllBytes(file);
        File.WriteAllBytes(path, bytes[..Math.Min(bytes.Length, windows * Window * sizeof(ushort))]);
        return path;
    }

    private sealed record OpenCalibrator(ICalibrator Value) : IDisposable
    {
        public void Dispose() => (Value as IDisposable)?.Dispose();
    }
}
