using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Where the parts of a weight matrix [rows, columns] lie in its execution layout: tiles of 16 rows one after the other, each the scales of its blocks (16 per block, row r in place r), the zero points of its blocks
/// (a byte each), then its units of codes (<see cref="ICodes"/>), every part starting at a multiple of 64 bytes. Rows and columns beyond the matrix have codes 0, and scale 0 where the whole row is missing.
/// </summary>
/// <param name="Rows">Rows: outputs of the layer.</param>
/// <param name="Columns">Columns: its inputs.</param>
/// <param name="Bits">Width of a code: 2 to 8, or 16.</param>
/// <param name="UnitColumns">Columns of a unit: 16 or 32.</param>
/// <param name="BlockUnits">Units that share a scale; the last block of a row may have fewer.</param>
/// <param name="Scale">Stored type of scales.</param>
/// <param name="HasZeros">True when every block has its own zero point.</param>
/// <param name="Paired">
/// True for codes in paired order, which the look-up of large tables wants: of every 16 bytes of a vector, byte 2r + (c mod 2) + 8 (c / 2), not 4r + c, belongs to row r and column c (both 0 to 3).
/// </param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct TileLayout(int Rows, int Columns, int Bits, int UnitColumns, int BlockUnits, TileScale Scale, bool HasZeros, bool Paired)
{
    /// <summary>Rows of a tile.</summary>
    public const int TileRows = 16;

    private const int AlignmentBytes = 64;

    /// <summary>Tiles.</summary>
    public int Tiles => (Rows + TileRows - 1) / TileRows;

    /// <summary>Units of a tile.</summary>
    public int Units => (Columns + UnitColumns - 1) / UnitColumns;

    /// <summary>Columns with those that fill the last unit.</summary>
    public int PaddedColumns => Units * UnitColumns;

    /// <summary>Blocks of a row.</summary>
    public int Blocks => (Units + BlockUnits - 1) / BlockUnits;

    /// <summary>Bytes of a unit.</summary>
    public int UnitBytes => TileRows * UnitColumns * Bits / 8;

    /// <summary>Bytes of one scale.</summary>
    public int ScaleBytes => Scale.Bytes();

    /// <summary>Where the zero points of a tile start.</summary>
    public long ZerosOffset => Align((long)Blocks * TileRows * ScaleBytes);

    /// <summary>Where the codes of a tile start.</summary>
    public long CodesOffset => ZerosOffset + (HasZeros ? Align((long)Blocks * TileRows) : 0);

    /// <summary>Bytes of a tile.</summary>
    public long TileBytes => CodesOffset + Align((long)Units * UnitBytes);

    /// <summary>Bytes of the matrix.</summary>
    public long Bytes => Tiles * TileBytes;

    private static long Align(long bytes) => (bytes + AlignmentBytes - 1) & -AlignmentBytes;
}
