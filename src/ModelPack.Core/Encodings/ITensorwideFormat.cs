namespace ModelPack;

/// <summary>
/// A number format that must know something about the whole tensor (a mean, the largest magnitude, a palette) before it can encode a row. What it needs becomes arguments of the
/// spec, so it travels with the encoding and rows stay independent. An incomplete spec can be bound, to learn sizes, but not encode.
/// </summary>
public interface ITensorwideFormat : INumberFormat
{
    /// <summary>The spec with the missing arguments filled in from the values, which are read once in order; the same spec when nothing is missing.</summary>
    /// <exception cref="ModelPackException">MP1022 a wrong argument, MP1040 a value that is NaN or infinite.</exception>
    UnitSpec Complete(UnitSpec spec, IValueReader values);
}
