namespace ModelPack.Numbers;

/// <summary>A format whose kernels exist for every tier; tests compare them.</summary>
internal interface ITieredFormat : INumberFormat
{
    /// <summary>As <see cref="INumberFormat.Bind"/>, on a given tier.</summary>
    IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier);
}
