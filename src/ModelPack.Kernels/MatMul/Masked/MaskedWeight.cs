using System.Numerics;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// A weight matrix [outputs, inputs] of which single elements are stored: N of every M neighbours, banks, or any. Its execution layout is the mask, a bit per place and rows padded to 16 places, then row by row the values that
/// are stored (f32, bf16, or codes of one byte) with the scales of their blocks behind them (f32). Thread-safe.
/// </summary>
/// <remarks>Stored forms: formats/structures/NM, BankBalanced and Bitmap, SPEC.md.</remarks>
public sealed unsafe class MaskedWeight
{
    /// <summary>Places that are worked on at a time.</summary>
    internal const int UnitColumns = 16;

    private readonly CodeRows _source;
    private readonly byte[] _mask;
    private readonly int _sourceMaskBytes;
    private readonly long[] _first;

    private MaskedWeight(UnitSpec structure, UnitSpec format, CodeRows source, int rows, int columns, byte[] mask, int keptPerRow, int unitsPerBlock)
    {
        (Structure, Format, _source, Rows, Columns, _mask, UnitsPerBlock) = (structure, format, source, rows, columns, mask, unitsPerBlock);
        _sourceMaskBytes = mask.Length / rows;
        Units = (columns + UnitColumns - 1) / UnitColumns;
        ScalesPerRow = unitsPerBlock == 0 ? 0 : (Units + unitsPerBlock - 1) / unitsPerBlock;
        _first = new long[rows + 1];
        for (int r = 0; r < rows; r++)
        {
            int kept = keptPerRow > 0 ? keptPerRow : PopCount(mask.AsSpan(r * _sourceMaskBytes, _sourceMaskBytes));
            _first[r + 1] = _first[r] + kept;
        }
    }

    /// <summary>The structure.</summary>
    public UnitSpec Structure { get; }

    /// <summary>Number format of the values.</summary>
    public UnitSpec Format { get; }

    /// <summary>Outputs.</summary>
    public int Rows { get; }

    /// <summary>Inputs.</summary>
    public int Columns { get; }

    /// <summary>Values that are stored.</summary>
    public long Stored => _first[^1];

    /// <summary>Their share of all.</summary>
    public double Density => Stored / ((double)Rows * Columns);

    /// <summary>Roles of the streams of the values that <see cref="Pack"/> reads, in its order.</summary>
    public IReadOnlyList<string> Roles => _source.Roles;

    /// <summary>Bytes of the execution layout; 64 more than are used, for vectors that reach past the last value.</summary>
    public long Bytes => RowOffset(Rows) + 64;

    /// <summary>Bits of a value: 8, 16 or 32.</summary>
    internal int Bits => _source.Bits;

    /// <summary>Code of the value 0, for codes.</summary>
    internal int Zero => _source.Zero;

    /// <summary>Units of a row.</summary>
    internal int Units { get; }

    /// <summary>Units that share a scale; 0 without scales.</summary>
    internal int UnitsPerBlock { get; }

    internal int ScalesPerRow { get; }

    /// <summary>A bit per place as it is stored.</summary>
    internal ReadOnlySpan<byte> Mask => _mask;

    private int Width => Bits / 8;

    /// <summary>Recognises a weight.</summary>
    /// <param name="structure"><c>nm</c>, <c>bankbalanced</c> or <c>bitmap</c>.</param>
    /// <param name="format">Number format of the values.</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    /// <param name="mask">The mask, as it is stored.</param>
    /// <returns>Null when no kernel reads it, or the mask is not of this structure.</returns>
    /// <exception cref="ModelPackException">MP1022: a wrong argument.</exception>
    public static MaskedWeight? TryCreate(UnitSpec structure, UnitSpec format, int rows, int columns, byte[] mask)
    {
        if (rows <= 0 || columns <= 0)
        {
            return null;
        }

        int group = structure.Id switch { "nm" => structure.Int("m", 0, 4, 16), "bankbalanced" => structure.Int("bank", 0, 16, 64), _ => 0 };
        int kept = structure.Id switch { "nm" => structure.Int("n", 0, 1, 15), "bankbalanced" => structure.Int("kept", 0, 1, 63), _ => 0 };
        if ((group == 0 && structure.Id != "bitmap") || (group > 0 && (!BitOperations.IsPow2(group) || kept == 0 || kept >= group)))
        {
            return null;
        }

        long places = group == 0 ? columns : ((long)columns + group - 1) / group * group;
        long maskBytes = (places + 7) / 8;
        int perRow = group == 0 ? 0 : (int)(places / group * kept);
        if (mask.Length != maskBytes * rows || (perRow > 0 && !IsBalanced(mask, rows, (int)maskBytes, group, kept)))
        {
            return null;
        }

        // Rows of a bitmap's values are not rows of the matrix: only what has no scales is read from it.
        CodeRows? source = PlainRows.TryCreate(format, group == 0 ? 256 : perRow)
            ?? (group > 0 && CodeRowsCatalog.All.TryGetValue(format.Id, out Func<UnitSpec, int, CodeRows?>? create) ? create(format, perRow) : null);
        if (source is null || source.Words != ValueKind.Plain || source.Bits is not (8 or 16 or 32) || source.Table is not null || source.HasZeros || (source.Bits > 8) != (source.Scale == TileScale.None))
        {
            return null;
        }

        // A block of stored values is a run of whole units.
        int block = source.Bits > 8 ? 0 : source.Block == 0 ? perRow : source.Block;
        if (block > 0 && source.Block > 0 && ((long)block * group % (kept * UnitColumns) != 0 || block % kept != 0))
        {
            return null;
        }

        int units = block == 0 ? 0 : source.Block == 0 ? (int)((places + UnitColumns - 1) / UnitColumns) : (int)((long)block * group / kept / UnitColumns);
        return new MaskedWeight(structure, format, source, rows, columns, mask, perRow, units);
    }

    /// <summary>Packs some rows; the mask of all is packed with the first.</summary>
    /// <param name="streams">Addresses of the decoded streams of the values, in the order of <see cref="Roles"/>.</param>
    /// <param name="first">First row.</param>
    /// <param name="count">Their number.</param>
    /// <param name="destination">Start of the execution layout of the whole matrix, <see cref="Bytes"/> long, at a multiple of 64.</param>
    public void Pack(ReadOnlySpan<nint> streams, int first, int count, nint destination)
    {
        for (int r = first; r < first + count; r++)
        {
            var bits = new Span<byte>((byte*)destination + ((long)r * MaskBytes), MaskBytes);
            ReadOnlySpan<byte> stored = _mask.AsSpan(r * _sourceMaskBytes, _sourceMaskBytes);
            bits.Clear();
            stored[..Math.Min(stored.Length, bits.Length)].CopyTo(bits);

            // Places past the row are the last of it: nothing is counted for them.
            for (int place = Columns; place < Units * UnitColumns; place++)
            {
                bits[place / 8] &= (byte)~(1 << (place % 8));
            }

            int kept = (int)(_first[r + 1] - _first[r]);
            byte* at = (byte*)destination + RowOffset(r);
            if (Bits > 8)
            {
                new ReadOnlySpan<byte>((byte*)streams[0] + (_first[r] * Width), kept * Width).CopyTo(new Span<byte>(at, kept * Width));
            }
            else
            {
                _source.Read(streams, r, new Span<byte>(at, kept), new Span<float>(at + Aligned(kept), ScalesPerRow), []);
            }
        }

        if (first + count == Rows)
        {
            new Span<byte>((byte*)destination + RowOffset(Rows), 64).Clear();
        }
    }

    internal int MaskBytes => Units * UnitColumns / 8;

    /// <summary>Where the values of a row begin.</summary>
    internal long RowOffset(int row) => ((((long)Rows * MaskBytes) + 63) & -64L) + (Bits > 8 ? _first[row] * Width : (long)row * (Aligned((int)(_first[1] - _first[0])) + (ScalesPerRow * sizeof(float))));

    /// <summary>Bytes from the values of a row to its scales.</summary>
    internal int ScalesOffset => Aligned((int)(_first[1] - _first[0]));

    private static int Aligned(int bytes) => (bytes + 3) & -4;

    private static int PopCount(ReadOnlySpan<byte> bits)
    {
        int count = 0;
        foreach (byte b in bits)
        {
            count += BitOperations.PopCount(b);
        }

        return count;
    }

    private static bool IsBalanced(byte[] mask, int rows, int rowBytes, int group, int kept)
    {
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> row = mask.AsSpan(r * rowBytes, rowBytes);
            for (int at = 0; at < rowBytes; at += Math.Max(1, group / 8))
            {
                bool right = group > 4 ? PopCount(row.Slice(at, group / 8)) == kept : BitOperations.PopCount((uint)row[at] & 15) == kept && (BitOperations.PopCount((uint)row[at] >> 4) == kept || (at == rowBytes - 1 && row[at] < 16));
                if (!right)
                {
                    return false;
                }
            }
        }

        return true;
    }
}
