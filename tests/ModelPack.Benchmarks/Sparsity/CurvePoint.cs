using System.Globalization;

namespace ModelPack.Benchmarks.Sparsity;

/// <summary>A pruned model, measured on one text.</summary>
/// <param name="Structure">As pass <c>sparsify</c> names it.</param>
/// <param name="Percent">Share of the weights of all pruned layers that is dropped.</param>
/// <param name="Reconstructed">False for magnitude alone, in one step and without data.</param>
/// <param name="Text">Name of the text.</param>
/// <param name="Perplexity">On it.</param>
internal sealed record CurvePoint(string Structure, double Percent, bool Reconstructed, string Text, double Perplexity)
{
    /// <summary>First line of a file of points.</summary>
    public const string Header = "structure,sparsity_percent,method,text,perplexity";

    private const string OneShot = "one-shot";

    /// <summary>A line of such a file.</summary>
    public string ToCsv() => string.Create(CultureInfo.InvariantCulture, $"{Structure},{Percent:0.##},{(Reconstructed ? "reconstructed" : OneShot)},{Text},{Perplexity:0.###}");

    /// <summary>Reads a line.</summary>
    public static CurvePoint Parse(string line)
    {
        string[] parts = line.Split(',');
        return new CurvePoint(parts[0], double.Parse(parts[1], CultureInfo.InvariantCulture), parts[2] != OneShot, parts[3], double.Parse(parts[4], CultureInfo.InvariantCulture));
    }
}
