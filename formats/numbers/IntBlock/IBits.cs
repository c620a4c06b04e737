namespace ModelPack.Numbers;

/// <summary>A code width that the JIT sees as a constant.</summary>
internal interface IBits
{
    static abstract int Count { get; }
}

/// <summary>Four bits.</summary>
internal readonly struct Bits4 : IBits
{
    public static int Count => 4;
}

/// <summary>Eight bits.</summary>
internal readonly struct Bits8 : IBits
{
    public static int Count => 8;
}
