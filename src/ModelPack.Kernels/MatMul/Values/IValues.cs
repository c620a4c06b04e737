namespace ModelPack.Kernels.MatMul;

/// <summary>What codes stand for, before the scale.</summary>
internal unsafe interface IValues
{
    /// <summary>Values of the four columns of a group as f32.</summary>
    /// <param name="unit">See <see cref="ICodes.Group"/>.</param>
    /// <param name="group">Constant.</param>
    /// <param name="table">Values by code.</param>
    /// <param name="zero">What linear codes are reduced by, as f32.</param>
    /// <param name="a">First column.</param>
    /// <param name="b">Second column.</param>
    /// <param name="c">Third column.</param>
    /// <param name="d">Fourth column.</param>
    static abstract void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes;
}
