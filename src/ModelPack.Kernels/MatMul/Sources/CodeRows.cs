namespace ModelPack.Kernels.MatMul;

/// <summary>
/// The rows of a stored weight matrix as codes, scales and zero points, whatever number format they are stored in: what a tile is packed from. value = (table[code], or code - zero point) x scale x multiplier.
/// </summary>
internal abstract class CodeRows
{
    /// <summary>Width of a code, 1 to 8; 16 for bf16, f16 or posits, 32 for f32.</summary>
    public required int Bits { get; init; }

    /// <summary>What more than 8 bits are.</summary>
    public ValueKind Words { get; init; } = ValueKind.Plain;

    /// <summary>Columns that share a scale: a multiple of 16; 0 for the whole row.</summary>
    public required int Block { get; init; }

    /// <summary>Values by code; null when codes are integers.</summary>
    public float[]? Table { get; init; }

    /// <summary>True when the table is part of the format; false when it is chosen for each tensor.</summary>
    public bool HasFixedTable { get; init; } = true;

    /// <summary>Zero point of integers, where blocks have none of their own.</summary>
    public int Zero { get; init; }

    /// <summary>True when every block has its zero point.</summary>
    public bool HasZeros { get; init; }

    /// <summary>The narrowest type that holds all scales.</summary>
    public required TileScale Scale { get; init; }

    /// <summary>Factor of all values.</summary>
    public float Multiplier { get; init; } = 1;

    /// <summary>Roles of the streams that are read, in the order of <see cref="Read"/>.</summary>
    public abstract IReadOnlyList<string> Roles { get; }

    /// <summary>Reads one row.</summary>
    /// <param name="streams">Addresses of whole streams.</param>
    /// <param name="row">Which.</param>
    /// <param name="codes">[columns] destination; two or four bytes each for plain values.</param>
    /// <param name="scales">[blocks] destination; empty for <see cref="TileScale.None"/>.</param>
    /// <param name="zeros">[blocks] destination; empty without zero points.</param>
    public abstract void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros);
}
