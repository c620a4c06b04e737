using System.Globalization;

namespace ModelPack;

/// <summary>
/// A permanent error number: 1xxx reading, 2xxx passes and recipes, 3xxx planning, 4xxx packing, 5xxx running. Never reused.
/// </summary>
/// <param name="Number">The four digits after <c>MP</c>.</param>
/// <param name="Meaning">What the code stands for, in a few words, for the error list.</param>
public readonly record struct ErrorCode(int Number, string Meaning)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"MP{Number:D4}");
}
