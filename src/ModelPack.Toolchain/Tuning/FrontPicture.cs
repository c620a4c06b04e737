using System.Globalization;
using System.Net;
using System.Text;

namespace ModelPack.Toolchain;

/// <summary>The front as a picture (SVG): bits per weight to the right, loss upwards on a logarithmic axis.</summary>
internal static class FrontPicture
{
    private const double Width = 720;
    private const double Height = 440;
    private const double Left = 80;
    private const double Right = 24;
    private const double Top = 48;
    private const double Bottom = 56;

    /// <summary>Draws the front as a line, every candidate for all tensors as a named dot, the choice as a ring.</summary>
    public static string Draw(TuneResult result)
    {
        TunePoint[] all = [.. result.Front.Concat(result.Uniform).Where(p => Loss(p) > 0)];
        double least = all.Select(p => p.BitsPerWeight).DefaultIfEmpty(0).Min();
        double most = Math.Max(least + 1e-9, all.Select(p => p.BitsPerWeight).DefaultIfEmpty(1).Max());
        double low = Math.Floor(Math.Log10(all.Select(Loss).DefaultIfEmpty(0.1).Min()));
        double high = Math.Max(low + 1, Math.Ceiling(Math.Log10(all.Select(Loss).DefaultIfEmpty(1).Max())));
        double X(TunePoint p) => Left + ((p.BitsPerWeight - least) / (most - least) * (Width - Left - Right));
        double Y(double loss) => Top + ((high - Math.Log10(loss)) / (high - low) * (Height - Top - Bottom));

        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>\n");
        Text(svg, Left, 24, "start", $"{Path.GetFileName(result.Input)}: {result.LossKind} by bits per weight");
        for (double exponent = low; exponent <= high; exponent++)
        {
            double y = Y(Math.Pow(10, exponent));
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" y1=\"{y:0.#}\" x2=\"{Width - Right}\" y2=\"{y:0.#}\" stroke=\"#ddd\"/>\n");
            Text(svg, Left - 8, y + 4, "end", string.Create(CultureInfo.InvariantCulture, $"1e{exponent:0}"));
        }

        for (double bits = Math.Ceiling(least); bits <= most; bits++)
        {
            double x = Left + ((bits - least) / (most - least) * (Width - Left - Right));
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{x:0.#}\" y1=\"{Height - Bottom}\" x2=\"{x:0.#}\" y2=\"{Height - Bottom + 5}\" stroke=\"black\"/>\n");
            Text(svg, x, Height - Bottom + 20, "middle", string.Create(CultureInfo.InvariantCulture, $"{bits:0}"));
        }

        Text(svg, (Left + Width - Right) / 2, Height - 12, "middle", "bits per weight");
        IEnumerable<string> line = result.Front.Where(p => Loss(p) > 0).Select(p => string.Create(CultureInfo.InvariantCulture, $"{X(p):0.#},{Y(Loss(p)):0.#}"));
        svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{string.Join(' ', line)}\" fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"2\"/>\n");
        foreach (TunePoint p in result.Uniform.Where(p => Loss(p) > 0))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{X(p):0.#}\" cy=\"{Y(Loss(p)):0.#}\" r=\"3\" fill=\"#d62728\"/>\n");
            Text(svg, X(p) + 6, Y(Loss(p)) - 4, X(p) > Width * 0.7 ? "end" : "start", p.Name.Split('(')[0]);
        }

        foreach (TunePoint p in result.Front.Where(p => p.Chosen && Loss(p) > 0))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{X(p):0.#}\" cy=\"{Y(Loss(p)):0.#}\" r=\"6\" fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"2\"/>\n");
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static double Loss(TunePoint point) => point.Loss ?? point.Predicted;

    private static void Text(StringBuilder svg, double x, double y, string anchor, string text) =>
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\">{WebUtility.HtmlEncode(text)}</text>\n");
}
