namespace ModelPack.Numbers;

internal partial interface ILanes16<TSelf>
{
    /// <summary>Lane i of the result is lane <paramref name="indexes"/>[i] of <paramref name="table"/>; indexes are integers from 0 to 15.</summary>
    static abstract TSelf Lookup16(TSelf table, TSelf indexes);

    /// <summary>All ones where a &gt; b as f32; never for NaN.</summary>
    static abstract TSelf GreaterFloat(TSelf a, TSelf b);

    /// <summary>Each lane shifted left by its own count, 0 to 31.</summary>
    static abstract TSelf ShiftLeftEach(TSelf a, TSelf counts);

    /// <summary>Each lane shifted right (logically) by its own count, 0 to 31.</summary>
    static abstract TSelf ShiftRightEach(TSelf a, TSelf counts);
}
