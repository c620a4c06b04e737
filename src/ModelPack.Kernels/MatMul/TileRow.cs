using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One row of a matrix out of its tiles, as values: value = ((table[code], or code - zero point) x scale) x multiplier, the bits that decoding the stored row gives. Products read tiles a column at a time; this reads four bytes
/// of every group, for tables whose rows are looked up.
/// </summary>
internal static unsafe class TileRow
{
    private const int GroupColumns = 4;

    /// <param name="tiles">Start of the execution layout.</param>
    /// <param name="layout">The layout.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="kind">How codes become values.</param>
    /// <param name="row">Which row.</param>
    /// <param name="values">[columns] destination.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Decode(byte* tiles, in TileLayout layout, in TileWeight weight, ValueKind kind, int row, float* values)
    {
        byte* tile = tiles + (row / TileLayout.TileRows * weight.TileBytes);
        int lane = row % TileLayout.TileRows;
        int blockColumns = weight.BlockUnits * weight.UnitColumns;
        for (int block = 0, column = 0; block < weight.Blocks; block++)
        {
            int end = Math.Min(weight.Columns, column + blockColumns);
            int at = (TileLayout.TileRows * block) + lane;
            float scale = Scale(tile, weight.Scale, at);
            if (layout.Bits > 8)
            {
                Plain(tile + weight.CodesOffset, layout.Bits, kind, lane, column, end, scale, weight.Multiplier, values);
            }
            else
            {
                int zero = weight.HasZeros ? tile[weight.ZerosOffset + at] : weight.Zero;
                Codes(tile + weight.CodesOffset, layout, weight, lane, column, end, zero, scale, values);
            }

            column = end;
        }
    }

    /// <summary>Columns of one block, as codes; blocks start with a unit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Codes(byte* units, in TileLayout layout, in TileWeight weight, int lane, int column, int end, int zero, float scale, float* values)
    {
        byte* unit = units + ((long)(column / weight.UnitColumns) * weight.UnitBytes);
        int groups = weight.UnitColumns / GroupColumns;
        float multiplier = weight.Multiplier;

        float* table = weight.Table;
        for (; column < end; unit += weight.UnitBytes)
        {
            for (int group = 0; group < groups && column < end; group++)
            {
                uint codes = Group(unit, layout, group, lane);
                for (int i = 0; i < GroupColumns && column < end; i++, column++, codes >>= 8)
                {
                    int code = (int)(codes & 0xFF);

                    // Where there is no table the multiplier is a power of two, which keeps products in range when it comes first.
                    values[column] = table != null ? table[code] * scale * multiplier : (code - zero) * multiplier * scale;
                }
            }
        }
    }

    /// <summary>Columns of one block, as numbers of 16 or 32 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Plain(byte* units, int bits, ValueKind kind, int lane, int column, int end, float scale, float multiplier, float* values)
    {
        int perGroup = 32 / bits;
        for (; column < end; column++)
        {
            byte* at = units + ((long)(column / perGroup) * TilePlanes.VectorBytes) + (sizeof(uint) * lane);
            ushort word = ((ushort*)at)[column % perGroup];
            float value = kind switch
            {
                ValueKind.Half => (float)BitConverter.UInt16BitsToHalf(word),
                ValueKind.Posit1 => PositPairs.Decode(word, 1),
                ValueKind.Posit2 => PositPairs.Decode(word, 2),
                _ => bits == 32 ? *(float*)at : BitConverter.UInt32BitsToSingle((uint)word << 16),
            };

            // The scale of posits is a factor that is in their values here, or says that one in the row is no number.
            values[column] = kind is ValueKind.Posit1 or ValueKind.Posit2 ? value : value * scale * multiplier;
        }
    }

    /// <summary>The codes of four columns, a byte each, the first in the lowest; see <see cref="ICodes"/> for how their bits lie.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Group(byte* unit, in TileLayout layout, int group, int lane)
    {
        uint codes = 0;
        int shift = 0;
        for (int width = 8; width >= 1; width /= 2)
        {
            if ((layout.Bits & width) == 0)
            {
                continue;
            }

            int each = 8 / width;
            uint bytes = Bytes(unit + (group / each * TilePlanes.VectorBytes), layout.Paired, lane) >> (group % each * width);
            codes |= (bytes & (0x01010101u * ((1u << width) - 1))) << shift;
            unit += layout.UnitColumns / GroupColumns / each * TilePlanes.VectorBytes;
            shift += width;
        }

        return codes;
    }

    /// <summary>Four bytes of a lane, in the order of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Bytes(byte* vector, bool paired, int lane)
    {
        if (!paired)
        {
            return *(uint*)(vector + (sizeof(uint) * lane));
        }

        byte* pair = vector + (16 * (lane / 4)) + (2 * (lane % 4));
        return *(ushort*)pair | ((uint)*(ushort*)(pair + 8) << 16);
    }

    private static float Scale(byte* tile, TileScale type, int index) => type switch
    {
        TileScale.F32 => ((float*)tile)[index],
        TileScale.BF16 => BitConverter.UInt32BitsToSingle((uint)((ushort*)tile)[index] << 16),
        TileScale.F16 => (float)((Half*)tile)[index],
        TileScale.E8M0 => BitConverter.UInt32BitsToSingle((uint)tile[index] << 23),
        _ => 1,
    };
}
