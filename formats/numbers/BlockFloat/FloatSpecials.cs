namespace ModelPack.Numbers;

/// <summary>Which codes of a small float are no numbers; see SPEC.md, section 2.</summary>
internal enum FloatSpecials
{
    /// <summary>Every code is a finite number.</summary>
    None,

    /// <summary>All ones is NaN; no infinity.</summary>
    Fn,

    /// <summary>The top exponent holds infinity and NaN.</summary>
    Ieee,

    /// <summary>The code of -0 is NaN; no infinity, no negative zero.</summary>
    Fnuz,
}
