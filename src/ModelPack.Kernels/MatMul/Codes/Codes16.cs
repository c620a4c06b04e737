namespace ModelPack.Kernels.MatMul;

/// <summary>Sizes of plain bf16: vectors of two columns, the first in the lower half of a lane. There are no codes to be had.</summary>
internal readonly unsafe struct Codes16 : ICodes
{
    public static int Bits => 16;

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
