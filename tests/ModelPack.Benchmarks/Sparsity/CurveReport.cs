using System.Globalization;
using System.Text;

namespace ModelPack.Benchmarks.Sparsity;

/// <summary>Points as a table and as a picture.</summary>
internal static class CurveReport
{
    private const double Width = 760;
    private const double Height = 480;
    private const double Left = 64;
    private const double Right = 150;
    private const double Top = 40;
    private const double Bottom = 48;

    private static readonly string[] Colours = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"];

    /// <summary>A table for each text: structures by sparsity, one-shot / reconstructed.</summary>
    public static string ToMarkdown(IReadOnlyList<CurvePoint> points)
    {
        var text = new StringBuilder();
        foreach (IGrouping<string, CurvePoint> group in points.GroupBy(p => p.Text))
        {
            double[] percents = [.. group.Select(p => p.Percent).Where(p => p > 0).Distinct().Order()];
            text.Append(CultureInfo.InvariantCulture, $"Perplexity on `{group.Key}`, nothing dropped: {group.FirstOrDefault(p => p.Percent == 0)?.Perplexity:0.00}. One-shot magnitude / pruned and reconstructed.\n\n");
            text.Append("| structure |").AppendJoin("", percents.Select(p => string.Create(CultureInfo.InvariantCulture, $" {p:0.##} % |"))).Append("\n|---|").AppendJoin("", percents.Select(_ => "---|")).Append('\n');
            foreach (IGrouping<string, CurvePoint> row in group.Where(p => p.Percent > 0).GroupBy(p => p.Structure))
            {
                string Cell(double percent)
                {
                    string Of(bool reconstructed) => row.FirstOrDefault(p => p.Percent.Equals(percent) && p.Reconstructed == reconstructed) is CurvePoint p ? Short(p.Perplexity) : "";
                    (string one, string two) = (Of(false), Of(true));
                    return one.Length + two.Length == 0 ? "" : $"{one} / {(two.Length == 0 ? "-" : two)}";
                }

                text.Append(CultureInfo.InvariantCulture, $"| {row.Key} |").AppendJoin("", percents.Select(p => $" {Cell(p)} |")).Append('\n');
            }

            text.Append('\n');
        }

        return text.ToString();
    }

    /// <summary>Sparsity to the right, perplexity upwards on a logarithmic axis; broken lines are one-shot, full ones reconstructed.</summary>
    public static string ToSvg(IReadOnlyList<CurvePoint> points, string title)
    {
        double low = Math.Log10(points.Min(p => p.Perplexity)) - 0.02;
        double high = Math.Log10(points.Max(p => p.Perplexity)) + 0.05;
        double X(double percent) => Left + (percent / 100 * (Width - Left - Right));
        double Y(double perplexity) => Top + ((high - Math.Log10(perplexity)) / (high - low) * (Height - Top - Bottom));
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>\n");
        Text(svg, Left, 22, "start", title + " (broken: one-shot magnitude; full: reconstructed)");
        foreach (double tick in (ReadOnlySpan<double>)[20, 40, 50, 60, 80, 100, 200, 500, 1000, 2000, 5000])
        {
            if (Math.Log10(tick) > low && Math.Log10(tick) < high)
            {
                svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" y1=\"{Y(tick):0.#}\" x2=\"{Width - Right}\" y2=\"{Y(tick):0.#}\" stroke=\"#ddd\"/>\n");
                Text(svg, Left - 6, Y(tick) + 4, "end", tick.ToString(CultureInfo.InvariantCulture));
            }
        }

        for (int percent = 0; percent <= 100; percent += 10)
        {
            Text(svg, X(percent), Height - Bottom + 18, "middle", percent.ToString(CultureInfo.InvariantCulture));
        }

        Text(svg, X(50), Height - 8, "middle", "weights dropped, %");
        int colour = 0;
        foreach (IGrouping<string, CurvePoint> structure in points.Where(p => p.Percent > 0).GroupBy(p => p.Structure))
        {
            string stroke = Colours[colour % Colours.Length];
            foreach (bool reconstructed in (ReadOnlySpan<bool>)[false, true])
            {
                CurvePoint[] line = [.. structure.Where(p => p.Reconstructed == reconstructed).OrderBy(p => p.Percent)];
                string path = string.Join(' ', line.Select(p => string.Create(CultureInfo.InvariantCulture, $"{X(p.Percent):0.#},{Y(p.Perplexity):0.#}")));
                svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.5\"{(reconstructed ? "" : " stroke-dasharray=\"4 3\"")}/>\n");
                foreach (CurvePoint p in line)
                {
                    svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{X(p.Percent):0.#}\" cy=\"{Y(p.Perplexity):0.#}\" r=\"{(reconstructed ? 3 : 2)}\" fill=\"{stroke}\"/>\n");
                }
            }

            double y = Top + 12 + (18 * colour++);
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Width - Right + 16}\" y1=\"{y - 4}\" x2=\"{Width - Right + 40}\" y2=\"{y - 4}\" stroke=\"{stroke}\" stroke-width=\"2\"/>\n");
            Text(svg, Width - Right + 46, y, "start", structure.Key);
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static string Short(double perplexity) => perplexity.ToString(perplexity < 100 ? "0.00" : "0", CultureInfo.InvariantCulture);

    private static void Text(StringBuilder svg, double x, double y, string anchor, string text) =>
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\">{text}</text>\n");
}
