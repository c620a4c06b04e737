namespace ModelPack.Containers.Gguf;

/// <summary>How a kernel of bitnet.cpp cuts a matrix, in the words of its <c>kernel_config.ini</c>.</summary>
/// <param name="Bm">Rows of a block.</param>
/// <param name="Bk">Columns of a block.</param>
/// <param name="Bmm">Rows that the kernel takes together.</param>
internal readonly record struct BitNetTiles(int Bm, int Bk, int Bmm)
{
    /// <summary>True when a matrix [M, K] consists of whole blocks of a kernel. What is left of the columns behind the blocks of TL2 is kept in pairs, 32 columns at a time, for which there is room for 256.</summary>
    public bool Fit(Shape shape, bool triples)
    {
        if (Bm <= 0 || Bk <= 0 || Bmm <= 0 || shape[0] % Bm != 0 || Bm % Bmm != 0)
        {
            return false;
        }

        return triples
            ? Bmm == 32 && Bk % 96 == 0 && shape[1] % 32 == 0 && shape[1] % Bk <= 256
            : Bmm is 16 or 32 or 64 && Bk % (256 / Bmm) == 0 && shape[1] % Bk == 0;
    }

    /// <summary>Names and lengths of the streams of a matrix that these tiles fit, in the order of the file. Zeros follow those of TL2.</summary>
    public (string Role, long Bytes)[] Streams(Shape shape, bool triples)
    {
        long rows = shape[0];
        long threes = shape[1] - (shape[1] % Bk);
        return triples
            ? [("magnitudes", rows * threes / 6), ("signs", rows * threes / 24), ("pairs", rows * (shape[1] - threes) / 4)]
            : [("codes", rows * shape[1] / 4)];
    }

    /// <summary>As the number formats bitnet-tl1 and bitnet-tl2 write it.</summary>
    public override string ToString() => FormattableString.Invariant($"{Bm}x{Bk}x{Bmm}");
}
