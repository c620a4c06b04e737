namespace ModelPack.Numbers;

internal partial interface ILanes16<TSelf>
{
    /// <summary>f32 to integers, towards zero. Defined for finite values that fit an integer.</summary>
    static abstract TSelf TruncateToInt(TSelf a);

    /// <summary>Signed minimum.</summary>
    static abstract TSelf MinInt(TSelf a, TSelf b);

    /// <summary>The sign bits, lane i at bit i.</summary>
    static abstract uint SignBits(TSelf a);

    /// <summary>Thirty-two f32: lane 0 of both, lane 1 of both, and so on.</summary>
    static abstract void StorePairs(TSelf first, TSelf second, ref float destination);
}
