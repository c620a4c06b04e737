using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Architectures;

/// <summary>Every family against plain loops written from its published definition.</summary>
public sealed class FamilyTests
{
    /// <summary>Logits reach 4 to 24; measured: 1e-6 to 9e-6.</summary>
    private const double Tolerance = 3e-5;

    public static TheoryData<string> Cases => [.. FamilyCases.Names];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_ofRandomModel_areThoseOfTheDefinition(string name)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        long[] ids = FamilyCases.Ids(2 * FamilyCases.Tokens, seed: 7);
        double[][] expected = [.. new ScalarDecoder(checkpoint).Run(ids[..FamilyCases.Tokens]), .. new ScalarDecoder(checkpoint).Run(ids[FamilyCases.Tokens..])];
        using var folder = new TempFolder();
        using ModelSession session = ModelInput.Open(checkpoint.Write(folder), new ModelSessionOptions { Threads = 1 });

        NamedTensor logits = session.Run(NamedTensor.Of("input_ids", ids, 2, FamilyCases.Tokens)).Single();

        Assert.Equal(["input_ids: i64[batch,seq]"], session.Inputs.Select(i => i.ToString()));
        Assert.Equal(new Shape(2, FamilyCases.Tokens, expected[0].Length), logits.Shape);
        double worst = WorstError(logits.Values<float>(), expected);
        Assert.True(worst < Tolerance, $"max abs error {worst}, logits up to {expected.Max(t => t.Max(Math.Abs))}");
    }

    [Fact]
    public void Cases_coverTheCatalogue() =>
        Assert.Empty(ArchitectureCatalog.All.Select(a => a.ClassName).Except(FamilyCases.Classes));

    internal static double WorstError(ReadOnlySpan<float> actual, double[][] expected)
    {
        double worst = 0;
        for (int t = 0; t < expected.Length; t++)
        {
            for (int c = 0; c < expected[t].Length; c++)
            {
                double error = Math.Abs(actual[(t * expected[t].Length) + c] - expected[t][c]);
                worst = error <= worst ? worst : error; // A NaN is worse than all.
            }
        }

        return worst;
    }
}
