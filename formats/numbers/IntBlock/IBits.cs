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

/// <summary>Two bits.</summary>
internal readonly struct Bits2 : IBits
{
    public static int Count => 2;
}

/// <summary>Three bits.</summary>
internal readonly struct Bits3 : IBits
{
    public static int Count => 3;
}

/// <summary>Five bits.</summary>
internal readonly struct Bits5 : IBits
{
    public static int Count => 5;
}

/// <summary>Six bits.</summary>
internal readonly struct Bits6 : IBits
{
    public static int Count => 6;
}

/// <summary>Seven bits.</summary>
internal readonly struct Bits7 : IBits
{
    public static int Count => 7;
}
