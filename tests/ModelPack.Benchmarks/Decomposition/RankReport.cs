using System.Globalization;
using System.Text;

namespace ModelPack.Benchmarks.Decomposition;

/// <summary>Points as a table and as a picture.</summary>
internal static class RankReport
{
    private const double Width = 760;
    private const double Height = 480;
    private const double Left = 56;
    private const double Right = 150;
    private const double Top = 40;
    private const double Bottom = 48;

    private static readonly string[] Colours = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"];

    /// <summary>Dashes of lines by components.</summary>
    private static readonly string[] Dashes = ["", "6 3", "2 3"];

    /// <summary>A table for each text: methods and components by parameters.</summary>
    public static string ToMarkdown(IReadOnlyList<RankPoint> points)
    {
        var text = new StringBuilder();
        foreach (IGrouping<string, RankPoint> group in points.GroupBy(p => p.Text))
        {
            int[] percents = [.. group.Select(p => p.Percent).Distinct().OrderDescending()];
            text.Append(CultureInfo.InvariantCulture, $"Perplexity on `{group.Key}`\n\n| method | components |").AppendJoin("", percents.Select(p => string.Create(CultureInfo.InvariantCulture, $" {p} % |"))).Append("\n|---|---|").AppendJoin("", percents.Select(_ => "---|")).Append('\n');
            foreach (IGrouping<(string Method, string Components), RankPoint> row in group.GroupBy(p => (p.Method, p.Components)))
            {
                text.Append(CultureInfo.InvariantCulture, $"| {row.Key.Method} | {row.Key.Components} |").AppendJoin("", percents.Select(p => $" {(row.FirstOrDefault(r => r.Percent == p) is RankPoint found ? Short(found.Perplexity) : "")} |")).Append('\n');
            }

            text.Append('\n');
        }

        return text.ToString();
    }

    /// <summary>Parameters to the right, perplexity upwards on a logarithmic axis; a colour for each method, dashes for quantised components.</summary>
    public static string ToSvg(IReadOnlyList<RankPoint> points, string name)
    {
        double low = Math.Log10(points.Min(p => p.Perplexity)) - 0.02;
        double high = Math.Min(3.2, Math.Log10(points.Max(p => p.Perplexity)) + 0.05);
        double X(double percent) => Left + ((100 - percent) / 75 * (Width - Left - Right));
        double Y(double perplexity) => Top + (Math.Clamp((high - Math.Log10(perplexity)) / (high - low), 0, 1) * (Height - Top - Bottom));
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>\n");
        Text(svg, Left, 22, "start", $"perplexity on '{name}' by parameters of linear layers (full: bf16, long dashes: int8, short dashes: int4 components)");
        foreach (double tick in (ReadOnlySpan<double>)[35, 40, 45, 50, 60, 80, 100, 200, 500, 1000])
        {
            if (Math.Log10(tick) > low && Math.Log10(tick) < high)
            {
                svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" y1=\"{Y(tick):0.#}\" x2=\"{Width - Right}\" y2=\"{Y(tick):0.#}\" stroke=\"#ddd\"/>\n");
                Text(svg, Left - 6, Y(tick) + 4, "end", tick.ToString(CultureInfo.InvariantCulture));
            }
        }

        for (int percent = 100; percent >= 30; percent -= 10)
        {
            Text(svg, X(percent), Height - Bottom + 18, "middle", percent.ToString(CultureInfo.InvariantCulture));
        }

        Text(svg, X(65), Height - 8, "middle", "parameters, %");
        int colour = 0;
        foreach (IGrouping<string, RankPoint> method in points.Where(p => p.Percent < 100).GroupBy(p => p.Method))
        {
            string stroke = Colours[colour % Colours.Length];
            int dash = 0;
            foreach (IGrouping<string, RankPoint> line in method.GroupBy(p => p.Components))
            {
                string path = string.Join(' ', line.OrderByDescending(p => p.Percent).Select(p => string.Create(CultureInfo.InvariantCulture, $"{X(p.Percent):0.#},{Y(p.Perplexity):0.#}")));
                svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.5\" stroke-dasharray=\"{Dashes[dash++ % Dashes.Length]}\"/>\n");
            }

            double y = Top + 12 + (18 * colour++);
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Width - Right + 16}\" y1=\"{y - 4}\" x2=\"{Width - Right + 40}\" y2=\"{y - 4}\" stroke=\"{stroke}\" stroke-width=\"2\"/>\n");
            Text(svg, Width - Right + 46, y, "start", method.Key);
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static string Short(double perplexity) => perplexity.ToString(perplexity < 100 ? "0.00" : "0", CultureInfo.InvariantCulture);

    private static void Text(StringBuilder svg, double x, double y, string anchor, string text) =>
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\">{text}</text>\n");
}
