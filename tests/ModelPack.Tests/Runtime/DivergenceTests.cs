using ModelPack.Runtime.Evaluation;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>Divergence of logits against its definition.</summary>
[Trait("Category", "Simd")]
public sealed class DivergenceTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(31)]
    [InlineData(4096)]
    public void Of_equalsTheDefinition(int words)
    {
        float[] a = [.. Values.Weights(1, words).Select(v => 5 * v)];
        float[] b = [.. a.Zip(Values.Weights(2, words), (x, y) => x + (0.3f * y) + 40)];
        double sumA = a.Sum(x => Math.Exp(x));
        double sumB = b.Sum(x => Math.Exp(x));
        double expected = a.Zip(b, (x, y) => Math.Exp(x) / sumA * (x - Math.Log(sumA) - (y - Math.Log(sumB)))).Sum();

        Assert.Equal(expected, Divergence.Of(a, b), 10);
        Assert.Equal(0, Divergence.Of(a, a), 10);
        Assert.Equal(0, Divergence.Of(a, [.. a.Select(x => x + 3)]), 5);
    }

    [Fact]
    public void Of_notANumber_isNotANumber() => Assert.True(double.IsNaN(Divergence.Of([1, 2, 3], [1, float.NaN, 3])));
}
