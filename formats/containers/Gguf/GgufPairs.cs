using System.Collections.Frozen;

namespace ModelPack.Containers.Gguf;

/// <summary>The metadata of a GGUF file with its types: numbers, text, and arrays of them.</summary>
public sealed class GgufPairs
{
    /// <summary>Arrays of more items are left out: no vocabulary is so long.</summary>
    private const int MaxItems = 1 << 22;

    private const int MaxTextBytes = 16 << 20;
    private const uint Bool = 7;
    private const uint String = 8;
    private const uint Array = 9;

    private readonly FrozenDictionary<string, object> _values;
    private readonly string _path;

    private GgufPairs(string path, Dictionary<string, object> values)
    {
        _path = path;
        _values = values.ToFrozenDictionary(StringComparer.Ordinal);
    }

    /// <summary>Reads the metadata of a file whose header is sound.</summary>
    /// <exception cref="ModelPackException">MP1400 to MP1408.</exception>
    public static GgufPairs Read(MappedFile file, CancellationToken cancellation = default)
    {
        var cursor = new GgufCursor(file);
        cursor.Skip(sizeof(uint) + sizeof(uint) + sizeof(ulong)); // Magic, version, number of tensors.
        ulong count = cursor.U64();
        var values = new Dictionary<string, object>(StringComparer.Ordinal);
        for (ulong i = 0; i < count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            string key = cursor.Name(ErrorCodes.GgufKey, "a metadata key");
            if (Value(cursor, cursor.U32(), file, cancellation) is object value)
            {
                values[key] = value;
            }
        }

        return new GgufPairs(file.Path, values);
    }

    public bool Has(string key) => _values.ContainsKey(key);

    /// <summary>Text; null where there is none.</summary>
    /// <exception cref="ModelPackException">MP1520: it is something else.</exception>
    public string? Text(string key) => Get<string>(key, "text");

    /// <summary>A whole number that is not negative; null where there is none.</summary>
    /// <exception cref="ModelPackException">MP1520: it is something else.</exception>
    public long? Count(string key) => Get<object>(key, "a number") is not object value ? null : value is long n and >= 0 ? n : throw Wrong(key, "a whole number from 0 on");

    /// <summary>A number; null where there is none.</summary>
    /// <exception cref="ModelPackException">MP1520: it is something else or not finite.</exception>
    public double? Number(string key) => Get<object>(key, "a number") switch
    {
        null => null,
        long n => n,
        double d when double.IsFinite(d) => d,
        _ => throw Wrong(key, "a finite number"),
    };

    /// <summary>True or false; null where there is neither.</summary>
    /// <exception cref="ModelPackException">MP1520: it is something else.</exception>
    public bool? Flag(string key) => Get<object>(key, "true or false") switch
    {
        null => null,
        bool b => b,
        _ => throw Wrong(key, "true or false"),
    };

    /// <summary>A list of text; null where there is none.</summary>
    /// <exception cref="ModelPackException">MP1520: it is something else.</exception>
    public IReadOnlyList<string>? Texts(string key) => Get<string[]>(key, "a list of text");

    /// <summary>A list of numbers; null where there is none.</summary>
    /// <exception cref="ModelPackException">MP1520: it is something else.</exception>
    public IReadOnlyList<double>? Numbers(string key) => Get<double[]>(key, "a list of numbers");

    /// <summary>An error that names a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="expected">What it should be.</param>
    public ModelPackException Wrong(string key, string expected) => new(ErrorCodes.GgufModelKey, $"metadata key '{key}' {(Has(key) ? "is not" : "is missing; it should be")} {expected}", _path);

    private T? Get<T>(string key, string expected)
        where T : class => !_values.TryGetValue(key, out object? value) ? null : value as T ?? throw Wrong(key, expected);

    /// <summary>A value; null for arrays that are not kept.</summary>
    private static object? Value(GgufCursor cursor, uint type, MappedFile file, CancellationToken cancellation) => type switch
    {
        Bool => cursor.U8() != 0,
        String => cursor.Text(MaxTextBytes),
        Array => Items(cursor, file, cancellation),
        6 => (double)BitConverter.UInt32BitsToSingle(cursor.U32()),
        12 => BitConverter.UInt64BitsToDouble(cursor.U64()),
        _ => Integer(cursor, type, file),
    };

    private static long Integer(GgufCursor cursor, uint type, MappedFile file) => type switch
    {
        0 => cursor.U8(),
        1 => (sbyte)cursor.U8(),
        2 => cursor.U16(),
        3 => (short)cursor.U16(),
        4 => cursor.U32(),
        5 => (int)cursor.U32(),
        10 => (long)Math.Min(cursor.U64(), long.MaxValue),
        11 => (long)cursor.U64(),
        _ => throw new ModelPackException(ErrorCodes.GgufValueType, $"metadata has the unknown type {type}", file.Path),
    };

    private static object? Items(GgufCursor cursor, MappedFile file, CancellationToken cancellation)
    {
        uint type = cursor.U32();
        long count = cursor.Length(type == String ? sizeof(ulong) : type == Array ? sizeof(uint) + sizeof(ulong) : 1, "items");
        bool kept = count <= MaxItems && type != Array;
        string[] texts = kept && type == String ? new string[count] : [];
        double[] numbers = kept && type != String ? new double[count] : [];
        for (long i = 0; i < count; i++)
        {
            if (i % 4096 == 0)
            {
                cancellation.ThrowIfCancellationRequested();
            }

            object? item = Value(cursor, type, file, cancellation);
            if (!kept)
            {
                continue;
            }

            if (type == String)
            {
                texts[i] = (string)item!;
            }
            else
            {
                numbers[i] = item switch { long n => n, double d => d, _ => (bool)item! ? 1 : 0 };
            }
        }

        return !kept ? null : type == String ? texts : numbers;
    }
}
