using System.Globalization;

namespace ModelPack.Containers.Gguf;

/// <summary>Metadata values as text. Long ones are cut: they are for people, packing keeps the file's own bytes.</summary>
internal static class GgufValue
{
    /// <summary>Type number of a u32.</summary>
    public const uint U32 = 4;

    private const uint Bool = 7;
    private const uint String = 8;
    private const uint Array = 9;
    private const int MaxNesting = 4;
    private const int MaxTextBytes = 64 << 10;
    private const int ShownItems = 8;
    private const int ShownItemBytes = 64;

    /// <summary>Bytes of fixed-width types by number; 0 for text, -1 for arrays.</summary>
    private static readonly int[] Sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, -1, 8, 8, 8];

    private static readonly string[] Names = ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"];

    /// <exception cref="ModelPackException">MP1403 it leaves the file, MP1407 an unknown type, MP1408 arrays nested too deeply or a bool that is neither 0 nor 1.</exception>
    public static string Read(GgufCursor cursor, uint type, string path, CancellationToken cancellation) => Read(cursor, type, path, 0, MaxTextBytes, cancellation);

    private static string Read(GgufCursor cursor, uint type, string path, int depth, int textBytes, CancellationToken cancellation)
    {
        long at = cursor.Position;
        IFormattable? number = type switch
        {
            0 => cursor.U8(),
            1 => (sbyte)cursor.U8(),
            2 => cursor.U16(),
            3 => (short)cursor.U16(),
            U32 => cursor.U32(),
            5 => (int)cursor.U32(),
            6 => BitConverter.UInt32BitsToSingle(cursor.U32()),
            10 => cursor.U64(),
            11 => (long)cursor.U64(),
            12 => BitConverter.UInt64BitsToDouble(cursor.U64()),
            _ => null,
        };
        if (number is not null)
        {
            return number.ToString(null, CultureInfo.InvariantCulture);
        }

        return type switch
        {
            Bool => cursor.U8() switch
            {
                0 => "false",
                1 => "true",
                byte other => throw new ModelPackException(ErrorCodes.GgufValue, $"a bool has the value {other}", path, offsetBytes: at),
            },
            String => cursor.Text(textBytes),
            Array => ReadArray(cursor, path, depth, cancellation),
            _ => throw new ModelPackException(ErrorCodes.GgufValueType, $"metadata has the unknown type {type}", path, offsetBytes: at - sizeof(uint)),
        };
    }

    private static string ReadArray(GgufCursor cursor, string path, int depth, CancellationToken cancellation)
    {
        long at = cursor.Position;
        uint type = cursor.U32();
        if (type >= Sizes.Length)
        {
            throw new ModelPackException(ErrorCodes.GgufValueType, $"an array has items of the unknown type {type}", path, offsetBytes: at);
        }

        if (depth >= MaxNesting)
        {
            throw new ModelPackException(ErrorCodes.GgufValue, $"arrays are nested more than {MaxNesting} deep", path, offsetBytes: at);
        }

        // The least that an item takes: text and arrays their lengths.
        int size = Sizes[type] > 0 ? Sizes[type] : type == String ? sizeof(ulong) : sizeof(uint) + sizeof(ulong);
        long count = cursor.Length(size, $"items of type {Names[type]}");
        var shown = new List<string>();
        for (long i = 0; i < count; i++)
        {
            if (i >= ShownItems && Sizes[type] > 0 && type != Bool)
            {
                cursor.Skip((count - i) * size);
                break;
            }

            if (i % 4096 == 0)
            {
                cancellation.ThrowIfCancellationRequested();
            }

            string item = Read(cursor, type, path, depth + 1, ShownItemBytes, cancellation);
            if (i < ShownItems)
            {
                shown.Add(item);
            }
        }

        return string.Create(CultureInfo.InvariantCulture, $"{count} x {Names[type]} [{string.Join(", ", shown)}{(count > ShownItems ? ", ..." : "")}]");
    }
}
