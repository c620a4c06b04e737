namespace ModelPack.Kernels.MatMul;

/// <summary>Sizes of plain f32: vectors of one column. There are no codes to be had.</summary>
internal readonly unsafe struct Codes32 : ICodes
{
    public static int Bits => 32;

    public static int UnitColumns => 16;

    public static TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => throw new NotSupportedException();

    public static TSimd Low<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => throw new NotSupportedException();

    public static TSimd Raw<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => throw new NotSupportedException();

    public static TSimd Lane<TSimd>(TSimd raw, int group, int column)
        where TSimd : struct, ISimd<TSimd> => throw new NotSupportedException();
}
