using System.Collections.Immutable;

namespace ModelPack.Passes;

/// <summary>
/// A value of the main graph whose channels can be divided by factors without a change to any output: what makes the value takes the division up, all that read it the multiplication.
/// </summary>
/// <param name="Value">Its name.</param>
/// <param name="Factors">How many factors there are to choose: the channels of the value, or fewer where several channels must share one.</param>
/// <param name="Consumers">Weights that are multiplied with the value; their axis has a position for every channel of it.</param>
/// <param name="Producers">Constants that are divided.</param>
internal sealed record SmoothValue(string Value, int Factors, ImmutableArray<ScaledAxis> Consumers, ImmutableArray<ScaledAxis> Producers)
{
    /// <summary>Channels of the value.</summary>
    public int Channels => Consumers[0].Channels.IsDefault ? Factors : Consumers[0].Channels.Length;
}
