using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Runtime.Text;
using ModelPack.Toolchain;

namespace ModelPack.Benchmarks.Sparsity;

/// <summary>
/// Perplexity by sparsity for every structure of pass <c>sparsify</c>, by magnitude alone and pruned and reconstructed with the defaults, all linear layers of the decoder. Points are written to <c>curve.csv</c> as they are
/// made; what stands there is not made again, so that a run may be interrupted. Table and picture are made of all points that there are.
/// </summary>
internal static class SparsityCurve
{
    private const int Window = 256;

    private static readonly int[] Percents = [10, 20, 30, 40, 50, 60, 70, 80, 90, 95];

    private static readonly int[] ReconstructedPercents = [50, 30, 70, 90, 10, 95, 60, 40, 20, 80];

    private static readonly string[] Structures = ["32x32", "unstructured", "4x4", "16x16", "1x16"];

    /// <summary>Neighbours say their sparsity themselves.</summary>
    private static readonly string[] Neighbours = ["2:4", "1:4", "4:8", "32:64", "16:64"];

    /// <param name="folder">Where the files go.</param>
    /// <param name="checkpoint">Folder with model.onnx, tokenizer.json and calib.tokens.bin.</param>
    /// <param name="texts">Token files, and texts (<c>.txt</c>) to be tokenised.</param>
    /// <param name="windows">Windows of 256 tokens of each that are measured.</param>
    /// <param name="output">For progress.</param>
    public static int Run(string folder, string checkpoint, IReadOnlyList<string> texts, int windows, TextWriter output)
    {
        Directory.CreateDirectory(folder);
        string journal = Path.Combine(folder, "curve.csv");
        List<CurvePoint> points = File.Exists(journal) ? [.. File.ReadLines(journal).Skip(1).Select(CurvePoint.Parse)] : [];
        if (points.Count == 0)
        {
            File.WriteAllText(journal, CurvePoint.Header + "\n");
        }

        string scratch = Directory.CreateTempSubdirectory("curve").FullName;
        try
        {
            (string Name, string File)[] tokens = [.. texts.Select(t => (Path.GetFileName(t).Split('.')[0], Tokens(t, checkpoint, windows, scratch)))];
            foreach ((string structure, int percent, bool reconstructed) in Plan())
            {
                CurvePoint[] missing = [.. tokens.Select(t => new CurvePoint(structure, Share(structure, percent), reconstructed, t.Name, 0)).Where(p => !points.Contains(p, Same))];
                if (missing.Length == 0)
                {
                    continue;
                }

                string artifact = Path.Combine(scratch, "pruned.mpack");
                Compile(checkpoint, structure, percent, reconstructed, artifact, scratch);
                foreach (CurvePoint point in missing)
                {
                    double perplexity = Evaluation.Perplexity(artifact, tokens.First(t => t.Name == point.Text).File, Window, threads: 1).Perplexity ?? double.NaN;
                    points.Add(point with { Perplexity = perplexity });
                    File.AppendAllText(journal, points[^1].ToCsv() + "\n");
                    output.WriteLine(points[^1].ToCsv());
                }
            }
        }
        finally
        {
            Directory.Delete(scratch, recursive: true);
        }

        return Draw(folder, points);
    }

    /// <summary>Table and pictures of the points of a folder.</summary>
    public static int Draw(string folder) => Draw(folder, [.. File.ReadLines(Path.Combine(folder, "curve.csv")).Skip(1).Select(CurvePoint.Parse)]);

    private static int Draw(string folder, List<CurvePoint> points)
    {
        File.WriteAllText(Path.Combine(folder, "curve.md"), CurveReport.ToMarkdown(points));
        foreach (string text in points.Select(p => p.Text).Distinct())
        {
            File.WriteAllText(Path.Combine(folder, $"curve-{text}.svg"), CurveReport.ToSvg([.. points.Where(p => p.Text == text)], $"perplexity on '{text}' by weights dropped"));
        }

        return 0;
    }

    private static readonly EqualityComparer<CurvePoint> Same = EqualityComparer<CurvePoint>.Create(
        (a, b) => a is not null && b is not null && a.Structure == b.Structure && Math.Abs(a.Percent - b.Percent) < 0.01 && a.Reconstructed == b.Reconstructed && a.Text == b.Text, _ => 0);

    /// <summary>What is measured, that which takes long last.</summary>
    private static IEnumerable<(string Structure, int Percent, bool Reconstructed)> Plan()
    {
        // Nothing dropped: where all curves begin.
        yield return ("unstructured", 0, false);
        foreach (string structure in Neighbours)
        {
            yield return (structure, 0, false);
        }

        foreach (string structure in Structures)
        {
            foreach (int percent in Percents)
            {
                yield return (structure, percent, false);
            }
        }

        foreach (string structure in Neighbours)
        {
            yield return (structure, 0, true);
        }

        foreach (int percent in ReconstructedPercents)
        {
            foreach (string structure in Structures)
            {
                yield return (structure, percent, true);
            }
        }
    }

    private static double Share(string structure, int percent)
    {
        string[] pair = structure.Split(':');
        return pair.Length == 2 ? 100 * (1 - (double.Parse(pair[0], CultureInfo.InvariantCulture) / double.Parse(pair[1], CultureInfo.InvariantCulture))) : percent;
    }

    private static void Compile(string checkpoint, string structure, int percent, bool reconstructed, string artifact, string scratch)
    {
        string pass = structure == "unstructured" && percent == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $$""", { "pass": "sparsify", "structure": "{{structure}}", "sparsity_percent": {{Math.Max(1, percent)}}, "protect": [], "force": true }""");
        string recipe = Path.Combine(scratch, "recipe.json");
        File.WriteAllText(recipe, $$"""{ "name": "curve", "passes": ["canonicalize", "fold-constants", "share-tensors"{{pass}}] }""");
        ModelCompiler.Compile(new CompileRequest
        {
            Input = Path.Combine(checkpoint, "model.onnx"),
            Output = artifact,
            Recipe = recipe,
            Calibration = reconstructed ? Path.Combine(checkpoint, "calib.tokens.bin") : null,
            CalibrationOptions = new CalibrationOptions { Window = Window },
            Threads = 1,
        });
    }

    /// <summary>A token file of so many windows.</summary>
    private static string Tokens(string text, string checkpoint, int windows, string scratch)
    {
        int bytes = windows * Window * sizeof(ushort);
        byte[] tokens = text.EndsWith(".txt", StringComparison.Ordinal)
            ? MemoryMarshal.AsBytes<ushort>(BytePairTokenizer.Parse(File.ReadAllBytes(Path.Combine(checkpoint, BytePairTokenizer.FileName))).Encode(File.ReadAllText(text)).Select(t => checked((ushort)t)).ToArray()).ToArray()
            : File.ReadAllBytes(text);
        string file = Path.Combine(scratch, Path.GetFileName(text) + ".bin");
        File.WriteAllBytes(file, tokens[..Math.Min(bytes, tokens.Length)]);
        return file;
    }
}
