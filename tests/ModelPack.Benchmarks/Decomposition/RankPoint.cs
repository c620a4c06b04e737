using System.Globalization;

namespace ModelPack.Benchmarks.Decomposition;

/// <summary>A decomposed model, measured on one text.</summary>
/// <param name="Method">How it was decomposed.</param>
/// <param name="Percent">Parameters of the linear layers of the decoder that were asked for.</param>
/// <param name="Components">What the components are stored as.</param>
/// <param name="Text">Name of the text.</param>
/// <param name="Bytes">Of the artifact.</param>
/// <param name="Perplexity">On the text.</param>
internal sealed record RankPoint(string Method, int Percent, string Components, string Text, long Bytes, double Perplexity)
{
    /// <summary>First line of a file of points.</summary>
    public const string Header = "method,parameters_percent,components,text,bytes,perplexity";

    /// <summary>A line of such a file.</summary>
    public string ToCsv() => string.Create(CultureInfo.InvariantCulture, $"{Method},{Percent},{Components},{Text},{Bytes},{Perplexity:0.###}");

    /// <summary>Reads a line.</summary>
    public static RankPoint Parse(string line)
    {
        string[] parts = line.Split(',');
        return new RankPoint(parts[0], int.Parse(parts[1], CultureInfo.InvariantCulture), parts[2], parts[3], long.Parse(parts[4], CultureInfo.InvariantCulture), double.Parse(parts[5], CultureInfo.InvariantCulture));
    }
}
