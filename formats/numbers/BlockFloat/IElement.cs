namespace ModelPack.Numbers;

/// <summary>Element codes of 16 lanes: the vector form of <see cref="ElementFormat"/>.</summary>
internal interface IElement<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>Codes of values that are no NaN, as integers.</summary>
    TLanes Encode(TLanes values);

    /// <summary>Codes of values that may be NaN where the format has a code for it.</summary>
    TLanes EncodeWithNan(TLanes values);

    /// <summary>Values of codes.</summary>
    TLanes Decode(TLanes codes);
}
