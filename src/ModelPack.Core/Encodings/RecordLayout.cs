using System.Collections.Immutable;

namespace ModelPack;

/// <summary>
/// How the bytes of a tensor divide into records of equal fields, such as the blocks of a GGUF file: a scale, then codes. Lets a codec put like with like.
/// </summary>
/// <param name="Fields">The fields in order; together they are one record.</param>
public sealed record RecordLayout(ImmutableArray<RecordField> Fields)
{
    /// <summary>Most fields a record may have.</summary>
    public const int MaxFields = 16;

    /// <summary>Most bytes of a record.</summary>
    public const int MaxBytes = 4096;

    /// <summary>Bytes of a record.</summary>
    public int RecordBytes
    {
        get
        {
            int bytes = 0;
            foreach (RecordField part in Fields)
            {
                bytes += part.LengthBytes;
            }

            return bytes;
        }
    }
}

/// <summary>One field of a record: equal elements one after the other.</summary>
/// <param name="LengthBytes">Bytes of the field, a multiple of the width.</param>
/// <param name="Width">Bytes of an element: 1, 2, 4 or 8.</param>
/// <param name="Moved">Bits by which the sign of floating-point elements moves down, to stand below the exponent; 0 for integers and bytes.</param>
public readonly record struct RecordField(int LengthBytes, int Width = 1, int Moved = 0)
{
    /// <summary>One f16 number.</summary>
    public static RecordField Half { get; } = new(2, 2, 5);
}
