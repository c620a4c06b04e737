using System.Globalization;

namespace ModelPack.Numbers;

/// <summary>How a kernel of bitnet.cpp cuts a matrix. Files in TL1 and TL2 do not say it: bitnet.cpp fixes it per shape when it is built.</summary>
/// <param name="RowBlock">BM: rows of a block.</param>
/// <param name="ColumnBlock">BK: columns of a block.</param>
/// <param name="RowTile">bm (<c>bmm</c> in kernel_config.ini): rows that the kernel takes together.</param>
internal readonly record struct BitNetTiles(int RowBlock, int ColumnBlock, int RowTile)
{
    /// <summary>Larger blocks are a mistake: kernels hold one in a cache.</summary>
    private const int Largest = 1 << 14;

    /// <summary>Tiles where nobody asks for others.</summary>
    public static BitNetTiles Default(bool triples) => triples ? new(32, 96, 32) : new(32, 64, 32);

    /// <summary>Reads <c>BMxBKxbm</c>, as <see cref="ToString"/> writes it; null for anything else.</summary>
    public static BitNetTiles? Parse(string text)
    {
        string[] parts = text.Split('x');
        int[] numbers = new int[3];
        for (int i = 0; i < parts.Length; i++)
        {
            if (parts.Length != 3 || !int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]))
            {
                return null;
            }
        }

        var tiles = new BitNetTiles(numbers[0], numbers[1], numbers[2]);
        return tiles.ToString() == text ? tiles : null;
    }

    /// <summary>True when there can be a kernel with these tiles: TL1 looks up 16 rows and 4 columns at a time, TL2 32 rows and 24 columns, with pairs in 32 columns behind whole blocks.</summary>
    public bool AreValid(bool triples)
    {
        bool plausible = RowBlock is > 0 and <= Largest && ColumnBlock is > 0 and <= Largest;
        return triples
            ? plausible && RowTile == 32 && RowBlock % 32 == 0 && ColumnBlock % 96 == 0
            : plausible && RowTile is 16 or 32 or 64 && RowBlock % RowTile == 0 && ColumnBlock % (256 / RowTile) == 0;
    }

    /// <summary><c>BMxBKxbm</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{RowBlock}x{ColumnBlock}x{RowTile}");
}
