using System.Globalization;
using System.Net;
using System.Text;

namespace ModelPack.Toolchain;

/// <summary>A profile of structures as a picture (SVG): a row for every tensor, a column for every share of its parameters, the darker the more the model loses (logarithmic).</summary>
internal static class HeatMap
{
    private const int Cell = 84;
    private const int Line = 18;
    private const int Top = 64;
    private const double Decades = 4;

    /// <summary>Draws.</summary>
    public static string Draw(StructureProfile profile)
    {
        int left = 24 + (7 * profile.Tensors.Max(t => t.Name.Length));
        int width = left + (Cell * profile.Percents.Count) + 16;
        int height = Top + (Line * profile.Tensors.Count) + 16;
        double most = Math.Max(1e-12, profile.Tensors.SelectMany(t => t.Losses).Max() ?? 0);
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n");
        Text(svg, 12, 24, "start", "black", $"{Path.GetFileName(profile.Input)}: {profile.LossKind} when one weight alone is {profile.Structure}, by its parameters");
        for (int c = 0; c < profile.Percents.Count; c++)
        {
            Text(svg, left + (Cell * c) + (Cell / 2), Top - 8, "middle", "black", string.Create(CultureInfo.InvariantCulture, $"{profile.Percents[c]} %"));
        }

        for (int row = 0; row < profile.Tensors.Count; row++)
        {
            ProfiledTensor tensor = profile.Tensors[row];
            int y = Top + (Line * row);
            Text(svg, left - 8, y + 13, "end", "black", tensor.Name);
            for (int c = 0; c < tensor.Losses.Count; c++)
            {
                if (tensor.Losses[c] is double loss)
                {
                    // From the largest loss down to a ten-thousandth of it.
                    double heat = loss <= 0 ? 0 : Math.Clamp(1 + (Math.Log10(loss / most) / Decades), 0, 1);
                    int light = 255 - (int)(heat * 215);
                    svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{left + (Cell * c)}\" y=\"{y}\" width=\"{Cell - 1}\" height=\"{Line - 1}\" fill=\"rgb(255,{light},{light * 3 / 4})\"/>\n");
                    Text(svg, left + (Cell * c) + (Cell / 2), y + 13, "middle", heat > 0.8 ? "white" : "black", loss.ToString("0.####E0", CultureInfo.InvariantCulture));
                }
            }
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static void Text(StringBuilder svg, int x, int y, string anchor, string colour, string text) =>
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{WebUtility.HtmlEncode(text)}</text>\n");
}
