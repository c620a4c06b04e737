using ModelPack.Runtime.Generation;
using Xunit;

namespace ModelPack.Tests.Runtime.Generation;

public sealed class TokenSamplerTests
{
    private static readonly float[] Logits = [1f, 3f, 2f, 3f, float.NegativeInfinity];

    [Fact]
    public void Next_temperature0_isTheFirstOfTheLikeliest() => Assert.Equal(1, new TokenSampler(new GenerationOptions(), "m").Next(Logits));

    /// <summary>Softmax of 3, 3, 2, 1 over 20 000 draws.</summary>
    [Fact]
    public void Next_temperature1_drawsByProbability()
    {
        double[] expected = [Math.Exp(-2), 1, Math.Exp(-1), 1, 0];
        double sum = expected.Sum();
        int[] counts = Draw(new GenerationOptions { Temperature = 1, Seed = 5 });
        Assert.All(counts.Zip(expected), pair => Assert.Equal(pair.Second / sum, pair.First / 20_000.0, 0.015));
        Assert.Equal(0, counts[4]);
    }

    [Theory]
    [InlineData(2, 1, new[] { 1, 3 })]
    [InlineData(3, 1, new[] { 1, 2, 3 })]
    [InlineData(0, 0.3, new[] { 1 })]
    [InlineData(0, 0.6, new[] { 1, 3 })]
    [InlineData(0, 0.9, new[] { 1, 2, 3 })]
    [InlineData(100, 0.999, new[] { 0, 1, 2, 3 })]
    public void Next_topKTopP_drawsFromExactlyThose(int topK, double topP, int[] tokens)
    {
        int[] counts = Draw(new GenerationOptions { Temperature = 1, TopK = topK, TopP = topP });
        Assert.Equal(tokens, Enumerable.Range(0, counts.Length).Where(i => counts[i] > 0));
    }

    [Fact]
    public void Next_lowTemperature_isNearlyGreedy() => Assert.Equal(0, Draw(new GenerationOptions { Temperature = 0.01 })[2]);

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Next_badLogit_isMP5034(float bad)
    {
        var error = Assert.Throws<ModelPackException>(() => new TokenSampler(new GenerationOptions(), "m").Next([0f, bad]));
        Assert.Equal((ErrorCodes.BadLogits, "m"), (error.Code, error.Path));
    }

    [Fact]
    public void Next_nothingLeft_isMP5034() =>
        Assert.Equal(ErrorCodes.BadLogits, Assert.Throws<ModelPackException>(() => new TokenSampler(new GenerationOptions(), "m").Next([float.NegativeInfinity])).Code);

    private static int[] Draw(GenerationOptions options)
    {
        int[] counts = new int[Logits.Length];
        var sampler = new TokenSampler(options, "m");
        for (int i = 0; i < 20_000; i++)
        {
            counts[sampler.Next(Logits)]++;
        }

        return counts;
    }
}
