namespace ModelPack.Numbers;

/// <summary>A format that keeps of every weight only -1, 0 or 1 times a scale: ruinous for weights that were not trained for it.</summary>
public interface ITernaryFormat : INumberFormat
{
    /// <summary>The spec that stores values which are already ternary without loss, where the format has a choice.</summary>
    UnitSpec Lossless(UnitSpec spec);

    /// <summary>True when the spec has a scale per row, not per tensor.</summary>
    bool IsPerRow(UnitSpec spec);
}
