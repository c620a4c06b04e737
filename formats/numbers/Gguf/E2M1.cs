namespace ModelPack.Numbers;

/// <summary>E2M1 elements of block formats.</summary>
internal static class E2M1
{
    /// <summary>Values by code.</summary>
    public static float[] Table { get; } = SmallFloatReference.DecodeTable(SmallFloatFormat.E2M1);

    /// <summary>Nearest even, saturating at 6, sign of zero kept; the quotient is exact or rounded far below the element's precision.</summary>
    public static int Encode(double value)
    {
        double magnitude = Math.Abs(value);
        int code =
            magnitude <= 0.25 ? 0
            : magnitude < 0.75 ? 1
            : magnitude <= 1.25 ? 2
            : magnitude < 1.75 ? 3
            : magnitude <= 2.5 ? 4
            : magnitude < 3.5 ? 5
            : magnitude <= 5 ? 6
            : 7;
        return double.IsNegative(value) ? code | 8 : code;
    }
}
