using System.Collections.Immutable;

namespace ModelPack.Passes;

/// <summary>
/// An orthogonal matrix over the channels of a value: equal blocks D H / sqrt(order) along the diagonal, D random signs (Ashkboos et al., "QuaRot", 2024, section 3). A value x becomes x R, a weight that
/// reads it R^T W, one that makes it W R: in all three, a vector along the channels times the signs, times H. A second such matrix may follow, of the same blocks.
/// </summary>
/// <param name="Block">H.</param>
/// <param name="Factors">[channels]: signs over sqrt(order), and what else multiplies the channels before the rotation.</param>
/// <param name="Then">What follows; null for nothing.</param>
internal sealed record ChannelRotation(HadamardMatrix Block, ImmutableArray<double> Factors, ChannelRotation? Then = null)
{
    /// <summary>Channels.</summary>
    public int Channels => Factors.Length;

    /// <summary>A rotation with signs of its own.</summary>
    /// <param name="channels">Channels.</param>
    /// <param name="block">Must divide them.</param>
    /// <param name="random">Source of the signs.</param>
    public static ChannelRotation Random(int channels, HadamardMatrix block, SplitMix64 random)
    {
        double scale = 1 / Math.Sqrt(block.Order);
        var factors = ImmutableArray.CreateBuilder<double>(channels);
        for (int i = 0; i < channels; i++)
        {
            factors.Add((random.Next() >> 63) == 0 ? scale : -scale);
        }

        return new ChannelRotation(block, factors.MoveToImmutable());
    }

    /// <summary>
    /// A rotation that keeps the mean of the channels, for norms that subtract it: blocks H D H / order, H of a power of two, whose first row and column are ones, and the first sign of every block +1. A vector of equal numbers goes
    /// through H into the first channel, is left alone by D, and comes back; all others are spread.
    /// </summary>
    /// <param name="channels">Channels.</param>
    /// <param name="most">Largest order wanted.</param>
    /// <param name="random">Source of the signs.</param>
    public static ChannelRotation KeepingMean(int channels, int most, SplitMix64 random)
    {
        // Without its power of two a number of channels has no Hadamard matrix but that one.
        HadamardMatrix block = HadamardMatrix.Dividing(channels, Math.Min(most, channels & -channels));
        double scale = 1 / Math.Sqrt(block.Order);
        ChannelRotation last = Random(channels, block, random);
        ImmutableArray<double> signs = [.. last.Factors.Select((f, i) => i % block.Order == 0 ? scale : f)];
        return new ChannelRotation(block, [.. Enumerable.Repeat(scale, channels)], last with { Factors = signs });
    }

    /// <summary>The rotation after a factor for every channel: for the weights that read what a norm has multiplied.</summary>
    public ChannelRotation After(ReadOnlySpan<double> gains)
    {
        var factors = ImmutableArray.CreateBuilder<double>(Channels);
        for (int i = 0; i < Channels; i++)
        {
            factors.Add(Factors[i] * gains[i]);
        }

        return this with { Factors = factors.MoveToImmutable() };
    }

    /// <summary>Rotates one vector.</summary>
    /// <param name="vector">[channels], replaced.</param>
    /// <param name="scratch">At least <see cref="HadamardMatrix.Core"/> numbers.</param>
    public void Apply(Span<double> vector, Span<double> scratch) => Apply(vector, 0, scratch);

    /// <summary>Rotates whole blocks of one vector.</summary>
    /// <param name="part">Channels from <paramref name="first"/> on, replaced.</param>
    /// <param name="first">Where a block begins.</param>
    /// <param name="scratch">At least <see cref="HadamardMatrix.Core"/> numbers.</param>
    public void Apply(Span<double> part, int first, Span<double> scratch)
    {
        for (int i = 0; i < part.Length; i++)
        {
            part[i] *= Factors[first + i];
        }

        for (int at = 0; at < part.Length; at += Block.Order)
        {
            Block.Multiply(part.Slice(at, Block.Order), 1, scratch);
        }

        Then?.Apply(part, first, scratch);
    }
}
