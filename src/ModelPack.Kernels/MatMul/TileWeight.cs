using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>What the kernels know of a packed weight besides its bytes; sizes of the layout computed once.</summary>
/// <param name="layout">Where its parts lie.</param>
/// <param name="table">Values by code, repeated to at least 16; null where kernels subtract zero points.</param>
/// <param name="byteTable">Values by code as integers, plus <paramref name="byteZero"/>: 16 bytes four times; null when codes are such integers already, or have no integer values.</param>
/// <param name="zero">Zero point of linear codes without zero points of their own.</param>
/// <param name="byteZero">Zero point of what the integer kernels multiply.</param>
/// <param name="multiplier">Factor of all values, applied to sums.</param>
/// <param name="byteMultiplier">The same for the integer kernels.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct TileWeight(TileLayout layout, float* table, byte* byteTable, int zero, int byteZero, float multiplier, float byteMultiplier)
{
    public readonly float* Table = table;
    public readonly byte* ByteTable = byteTable;
    public readonly int Zero = zero;
    public readonly int ByteZero = byteZero;
    public readonly float Multiplier = multiplier;
    public readonly float ByteMultiplier = byteMultiplier;
    public readonly int Rows = layout.Rows;
    public readonly int Columns = layout.Columns;
    public readonly int PaddedColumns = layout.PaddedColumns;
    public readonly int UnitColumns = layout.UnitColumns;
    public readonly int UnitBytes = layout.UnitBytes;
    public readonly int Units = layout.Units;
    public readonly int BlockUnits = layout.BlockUnits;
    public readonly int Blocks = layout.Blocks;
    public readonly TileScale Scale = layout.Scale;
    public readonly int ScaleBytes = layout.ScaleBytes;
    public readonly bool HasZeros = layout.HasZeros;
    public readonly long ZerosOffset = layout.ZerosOffset;
    public readonly long CodesOffset = layout.CodesOffset;
    public readonly long TileBytes = layout.TileBytes;

    /// <summary>Bits of a code.</summary>
    public int CodeBits => UnitBytes * 8 / (TileLayout.TileRows * UnitColumns);

    /// <summary>Floats from the zero points of one block to those of the next.</summary>
    public int ZeroStride => HasZeros ? TileLayout.TileRows : 0;
}
