namespace ModelPack.Containers.Safetensors;

/// <summary>The dtypes of the format, in the order of the reference implementation: ascending alignment, which fixes the order of tensors in written files.</summary>
internal static class SafetensorsDTypes
{
    private static readonly (string Name, byte[] Utf8, DType DType)[] Table =
    [
        Row("BOOL", DType.Bool), Row("F4", DType.F4E2M1), Row("F6_E2M3", DType.F6E2M3), Row("F6_E3M2", DType.F6E3M2),
        Row("U8", DType.U8), Row("I8", DType.I8), Row("F8_E5M2", DType.F8E5M2), Row("F8_E4M3", DType.F8E4M3FN), Row("F8_E8M0", DType.F8E8M0),
        Row("F8_E4M3FNUZ", DType.F8E4M3FNUZ), Row("F8_E5M2FNUZ", DType.F8E5M2FNUZ),
        Row("I16", DType.I16), Row("U16", DType.U16), Row("F16", DType.F16), Row("BF16", DType.BF16),
        Row("I32", DType.I32), Row("U32", DType.U32), Row("F32", DType.F32),
        Row("C64", DType.C64), Row("F64", DType.F64), Row("I64", DType.I64), Row("U64", DType.U64),
    ];

    private static readonly sbyte[] RankByDType = BuildRanks();

    /// <summary>All dtypes the format can hold, ascending alignment.</summary>
    public static IReadOnlyList<DType> All { get; } = [.. Table.Select(r => r.DType)];

    /// <summary>Position in <see cref="All"/>; -1 when the format does not have the dtype.</summary>
    public static int Rank(DType dtype) => RankByDType[(int)dtype];

    /// <summary>The name used in headers.</summary>
    public static string Name(DType dtype) => Table[Rank(dtype)].Name;

    /// <summary>Finds a dtype by the bytes of its name in a header.</summary>
    public static bool TryParse(ReadOnlySpan<byte> utf8, out DType dtype)
    {
        foreach ((_, byte[] name, DType candidate) in Table)
        {
            if (utf8.SequenceEqual(name))
            {
                dtype = candidate;
                return true;
            }
        }

        dtype = DType.Undefined;
        return false;
    }

    private static (string, byte[], DType) Row(string name, DType dtype) => (name, System.Text.Encoding.ASCII.GetBytes(name), dtype);

    private static sbyte[] BuildRanks()
    {
        sbyte[] ranks = new sbyte[Enum.GetValues<DType>().Length];
        Array.Fill(ranks, (sbyte)-1);
        for (int i = 0; i < Table.Length; i++)
        {
            ranks[(int)Table[i].DType] = (sbyte)i;
        }

        return ranks;
    }
}
