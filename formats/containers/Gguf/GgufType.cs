using System.Collections.Frozen;
using System.Collections.Immutable;

namespace ModelPack.Containers.Gguf;

/// <summary>An element type of GGUF files: plain numbers, or blocks of quantised ones.</summary>
/// <param name="Id">The number in the file.</param>
/// <param name="Name">ggml's name in lower case.</param>
/// <param name="BlockValues">Values of a block; 1 for plain types.</param>
/// <param name="DType">The dtype of plain types; <see cref="ModelPack.DType.Undefined"/> for blocks and matrices.</param>
/// <param name="Records">The fields of a block; null for plain types and matrices.</param>
/// <param name="Format">The number format that reads the blocks, if there is one.</param>
/// <remarks>Source: ggml, <c>include/ggml.h</c> and <c>src/ggml-common.h</c>; for i2_s, tl1 and tl2 the copy of it that bitnet.cpp uses.</remarks>
internal sealed record GgufType(int Id, string Name, int BlockValues, DType DType, RecordLayout? Records, string? Format)
{
    private static readonly RecordField Half = RecordField.Half;

    private static readonly FrozenDictionary<int, GgufType> ById = new[]
    {
        Plain(0, "f32", DType.F32), Plain(1, "f16", DType.F16), Plain(24, "i8", DType.I8), Plain(25, "i16", DType.I16), Plain(26, "i32", DType.I32), Plain(27, "i64", DType.I64),
        Plain(28, "f64", DType.F64), Plain(30, "bf16", DType.BF16),
        Readable(2, "q4_0", 32, Half, B(16)), Readable(3, "q4_1", 32, Half, Half, B(16)), Readable(6, "q5_0", 32, Half, B(4), B(16)), Blocks(7, "q5_1", 32, Half, Half, B(4), B(16)),
        Readable(8, "q8_0", 32, Half, B(32)), Blocks(9, "q8_1", 32, Half, Half, B(32)),
        Blocks(10, "q2_k", 256, B(16), B(64), Half, Half), Blocks(11, "q3_k", 256, B(32), B(64), B(12), Half), Readable(12, "q4_k", 256, Half, Half, B(12), B(128)),
        Blocks(13, "q5_k", 256, Half, Half, B(12), B(32), B(128)), Readable(14, "q6_k", 256, B(128), B(64), B(16), Half),
        Blocks(15, "q8_k", 256, new RecordField(4, 4, 8), B(256), new RecordField(32, 2)),
        Blocks(16, "iq2_xxs", 256, Half, B(64)), Blocks(17, "iq2_xs", 256, Half, B(64), B(8)), Blocks(18, "iq3_xxs", 256, Half, B(64), B(32)), Blocks(19, "iq1_s", 256, Half, B(32), B(16)),
        Blocks(20, "iq4_nl", 32, Half, B(16)), Blocks(21, "iq3_s", 256, Half, B(64), B(8), B(32), B(4)), Blocks(22, "iq2_s", 256, Half, B(64), B(8), B(8)),
        Blocks(23, "iq4_xs", 256, Half, B(2), B(4), B(128)), Blocks(29, "iq1_m", 256, B(32), B(16), B(8)),
        Readable(34, "tq1_0", 256, B(48), B(4), Half), Readable(35, "tq2_0", 256, B(64), Half), Readable(39, "mxfp4", 32, B(1), B(16)), Readable(40, "nvfp4", 64, B(4), B(32)),
        Blocks(41, "q1_0", 128, Half, B(16)), Blocks(42, "q2_0", 64, Half, B(16)),
        Matrix(36, "i2_s", 4), Matrix(38, "tl1", 4),
    }.ToFrozenDictionary(t => t.Id);

    /// <summary>bitnet.cpp's TL2. It has the number of ggml's MXFP4 and is told from it by its length.</summary>
    public static GgufType Tl2 { get; } = Matrix(39, "tl2", 1);

    /// <summary>Bytes behind the trits of a matrix; the first four are its scale as f32. A file may list them as a tensor of their own.</summary>
    public const int TrailerBytes = 32;

    /// <summary>Every type, by number.</summary>
    public static IEnumerable<GgufType> All => ById.Values.OrderBy(t => t.Id);

    /// <summary>True for ternary matrices of bitnet.cpp, which have one scale behind them.</summary>
    public bool IsMatrix => DType == DType.Undefined && Records is null;

    /// <summary>Bytes of a block, or of one plain number.</summary>
    public int BlockBytes => IsMatrix ? 1 : Records?.RecordBytes ?? DType.BitsPerElement() / 8;

    /// <summary>Bytes of a tensor, without a trailer; more than fit in 63 bits are possible.</summary>
    public Int128 Bytes(Shape shape, long elements)
    {
        if (Id != Tl2.Id || !IsMatrix)
        {
            return (Int128)(elements / BlockValues) * BlockBytes;
        }

        // All columns but 256 in triples of 5 bits, 256 in pairs of 4 bits, each division rounded as bitnet.cpp does; up to whole groups of 32 bytes.
        Int128 bytes = (((Int128)shape.Columns - 256) * shape.Rows / 3 * 5 / 8) + ((Int128)256 * shape.Rows / 2 * 4 / 8);
        return (bytes + 31) / 32 * 32;
    }

    /// <summary>The type of this number, or null.</summary>
    public static GgufType? Find(uint id) => id <= int.MaxValue ? ById.GetValueOrDefault((int)id) : null;

    private static RecordField B(int bytes) => new(bytes);

    private static GgufType Plain(int id, string name, DType dtype) => new(id, name, 1, dtype, null, null);

    private static GgufType Blocks(int id, string name, int values, params ImmutableArray<RecordField> fields) => new(id, name, values, DType.Undefined, new RecordLayout(fields), null);

    private static GgufType Matrix(int id, string name, int values) => new(id, name, values, DType.Undefined, null, null);

    private static GgufType Readable(int id, string name, int values, params ImmutableArray<RecordField> fields) => new(id, name, values, DType.Undefined, new RecordLayout(fields), "gguf-" + name);
}
