namespace ModelPack.Passes;

/// <summary>How the scales of a weight are chosen: the values of option <c>scales</c>.</summary>
internal enum ScaleChoice
{
    /// <summary>By the format's encoder.</summary>
    Encoder,

    /// <summary>By what errors do to outputs on calibration data; see <see cref="ScaleSearch"/>.</summary>
    Output,

    /// <summary>By the squared error of the weights, scale and zero point fitted together; see <see cref="HalfQuadratic"/>.</summary>
    Squares,

    /// <summary>Likewise, but a few weights may miss their values.</summary>
    Robust,
}
