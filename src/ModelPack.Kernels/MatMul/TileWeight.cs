using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>What the kernels know of a packed weight besides its bytes.</summary>
/// <param name="layout">Where its parts lie.</param>
/// <param name="table">Values by code, repeated to at least 16; null for linear codes.</param>
/// <param name="byteTable">Values by code as integers, plus <paramref name="byteZero"/>: 16 bytes; null when codes are such integers already, or have no integer values.</param>
/// <param name="zero">Zero point of linear codes without zero points of their own.</param>
/// <param name="byteZero">Zero point of what the integer kernels multiply.</param>
/// <param name="multiplier">Factor of all values, applied to sums.</param>
/// <param name="byteMultiplier">The same for the integer kernels.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct TileWeight(TileLayout layout, float* table, byte* byteTable, int zero, int byteZero, float multiplier, float byteMultiplier)
{
    public readonly TileLayout Layout = layout;
    public readonly float* Table = table;
    public readonly byte* ByteTable = byteTable;
    public readonly int Zero = zero;
    public readonly int ByteZero = byteZero;
    public readonly float Multiplier = multiplier;
    public readonly float ByteMultiplier = byteMultiplier;
}
