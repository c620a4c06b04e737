using System.Buffers.Binary;
using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Containers.Gguf;
using ModelPack.Numbers;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>A tensor as a GGUF file has it.</summary>
/// <param name="Type">ggml's type.</param>
/// <param name="Data">Its blocks.</param>
/// <param name="Scale">A factor of the whole tensor that belongs into a tensor of its own; 1 for none.</param>
internal sealed record GgufBlocks(string Type, TensorData Data, float Scale = 1)
{
    private const int Group = 32;

    /// <summary>
    /// The blocks that hold the same codes and scales as an encoding: nothing is quantised again.
    /// <code>
    /// gguf-*                                   its blocks
    /// int8, int5, int4 symmetric, int4         q8_0, q5_0, q4_0, q4_1     blocks of a multiple of 32; scales (and minima) that are f16 numbers
    /// mxfp4, nvfp4                             mxfp4, nvfp4
    /// ternary                                  tq2_0 (2bit), tq1_0 (base3)     magnitudes that are f16 numbers
    /// f32, f16, bf16                           themselves
    /// </code>
    /// </summary>
    /// <param name="tensor">The tensor; blocks run along its last axis.</param>
    /// <param name="reason">Why there are none.</param>
    public static GgufBlocks? Of(Tensor tensor, out string reason)
    {
        reason = "";
        if (Structured.IsRaw(tensor.Encoding, out DType stored))
        {
            if (stored is DType.F32 or DType.F16 or DType.BF16)
            {
                return Dense(tensor, stored);
            }

            reason = $"GGUF files have no {stored.Name()} weights";
            return null;
        }

        if (tensor.Encoding is not DenseEncoding { IsPending: false } dense)
        {
            reason = $"'{tensor.Encoding.Describe()}' is a structure, which GGUF files do not have";
            return null;
        }

        string id = dense.Format.Id;
        string? type = id.StartsWith("gguf-", StringComparison.Ordinal) ? id[5..] : id switch
        {
            "int8" => "q8_0",
            "int5" => "q5_0",
            "int4" => dense.Format.Flag("symmetric", true) ? "q4_0" : "q4_1",
            "mxfp4" => "mxfp4",
            "nvfp4" => "nvfp4",
            "ternary" => dense.Format.Text("packing", "2bit") == "2bit" ? "tq2_0" : "tq1_0",
            _ => null,
        };
        if (type is null || GgufWriter.BlockValues(type) is not int values)
        {
            reason = $"'{dense.Format}' has no counterpart among GGUF's types";
            return null;
        }

        if (dense.Shape.Columns % values != 0)
        {
            reason = $"rows of {dense.Shape.Columns} are no whole blocks of {values} ({type})";
            return null;
        }

        return id switch
        {
            "int8" or "int5" or "int4" => Integers(dense, type, out reason),
            "mxfp4" => new GgufBlocks(type, Mxfp4(dense)),
            "nvfp4" => Nvfp4(dense),
            "ternary" => Ternary(dense, type, out reason),
            _ => new GgufBlocks(type, dense.Streams[0].Data),
        };
    }

    /// <summary>The values as plain numbers.</summary>
    public static GgufBlocks Dense(Tensor tensor, DType dtype) => new(dtype.Name(), DenseTensorData.Of(dtype, tensor.Encoding));

    private static GgufBlocks? Integers(DenseEncoding dense, string type, out string reason)
    {
        reason = "";
        if (StoredIntegers.Of(dense) is not StoredIntegers stored || (stored.Bits != 4 && !stored.Symmetric))
        {
            reason = $"{type} has no zero points of the kind of '{dense.Format}'";
            return null;
        }

        if (stored.Block % Group != 0)
        {
            reason = $"blocks of {stored.Block} values are no whole blocks of {Group} ({type})";
            return null;
        }

        if (Unfit(stored) is string unfit)
        {
            reason = $"{unfit} is not an f16 number, as {type} needs; compile with {dense.Format.Id}(block={Group},scale=f16)";
            return null;
        }

        int groups = stored.Columns / Group;
        int bytes = stored.Bits switch { 8 => 34, 5 => 22, _ => stored.Symmetric ? 18 : 20 };
        return new GgufBlocks(type, new RowData(stored.Shape.Rows, (long)groups * bytes, (row, blocks) =>
        {
            byte[] codes = new byte[stored.Columns];
            float[] scales = new float[stored.Blocks];
            byte[] zeros = new byte[stored.Blocks];
            stored.ReadCodes(row, codes);
            stored.ReadScales(row, scales);
            stored.ReadZeros(row, zeros);
            for (int g = 0; g < groups; g++)
            {
                int b = g * Group / stored.Block;
                Span<byte> block = blocks.Slice(g * bytes, bytes);
                BinaryPrimitives.WriteHalfLittleEndian(block, (Half)scales[b]);
                Write(codes.AsSpan(g * Group, Group), stored, (Half)Minimum(scales[b], zeros[b]), block);
            }
        }));
    }

    private static void Write(ReadOnlySpan<byte> codes, StoredIntegers stored, Half minimum, Span<byte> block)
    {
        Span<byte> rest = block[2..];
        if (stored.Bits == 8)
        {
            for (int j = 0; j < Group; j++)
            {
                rest[j] = (byte)(codes[j] ^ 0x80);
            }

            return;
        }

        if (stored.Bits == 5)
        {
            uint fifth = 0;
            for (int j = 0; j < Group; j++)
            {
                fifth |= (uint)(codes[j] >> 4) << j;
            }

            BinaryPrimitives.WriteUInt32LittleEndian(rest, fifth);
            rest = rest[4..];
        }
        else if (!stored.Symmetric)
        {
            BinaryPrimitives.WriteHalfLittleEndian(rest, minimum);
            rest = rest[2..];
        }

        for (int j = 0; j < Group / 2; j++)
        {
            rest[j] = (byte)((codes[j] & 15) | ((codes[j + (Group / 2)] & 15) << 4));
        }
    }

    /// <summary>What q4_1 adds: minus the zero code in units of the scale, exact in f32 where the scale is an f16 number.</summary>
    private static float Minimum(float scale, byte zero) => -(zero * scale);

    /// <summary>The first scale or minimum that f16 does not hold.</summary>
    private static string? Unfit(StoredIntegers stored)
    {
        if (stored.Symmetric && stored.ScaleType == DType.F16)
        {
            return null;
        }

        float[] scales = new float[stored.Blocks];
        byte[] zeros = new byte[stored.Blocks];
        for (long row = 0; row < stored.Shape.Rows; row++)
        {
            stored.ReadScales(row, scales);
            stored.ReadZeros(row, zeros);
            for (int b = 0; b < stored.Blocks; b++)
            {
                float minimum = stored.Symmetric ? 0 : Minimum(scales[b], zeros[b]);
                if (!IsHalf(scales[b]) || !IsHalf(minimum))
                {
                    return string.Create(CultureInfo.InvariantCulture, $"{(IsHalf(scales[b]) ? "minimum" : "scale")} {(IsHalf(scales[b]) ? minimum : scales[b]):R} of row {row}, block {b}");
                }
            }
        }

        return null;
    }

    private static bool IsHalf(float value) => (float)(Half)value == value;

    /// <summary>Element 2i low and 2i + 1 high become element i low and i + 16 high.</summary>
    private static RowData Mxfp4(DenseEncoding dense)
    {
        const int bytes = 17;
        int groups = (int)(dense.Shape.Columns / Group);
        TensorData codes = dense.Streams[0].Data;
        TensorData scales = dense.Streams[1].Data;
        return new RowData(dense.Shape.Rows, (long)groups * bytes, (row, blocks) =>
        {
            byte[] pairs = new byte[groups * (Group / 2)];
            byte[] exponents = new byte[groups];
            codes.Read(row * pairs.Length, pairs);
            scales.Read(row * exponents.Length, exponents);
            for (int g = 0; g < groups; g++)
            {
                Span<byte> block = blocks.Slice(g * bytes, bytes);
                block[0] = exponents[g];
                Halve(pairs.AsSpan(g * (Group / 2), Group / 2), block[1..]);
            }
        });
    }

    private static GgufBlocks Nvfp4(DenseEncoding dense)
    {
        const int values = 64;
        const int bytes = 36;
        int groups = (int)(dense.Shape.Columns / values);
        TensorData codes = dense.Streams[0].Data;
        TensorData scales = dense.Streams[1].Data;
        float global = float.Parse(dense.Format.Text("global", "1"), CultureInfo.InvariantCulture);
        return new GgufBlocks("nvfp4", new RowData(dense.Shape.Rows, (long)groups * bytes, (row, blocks) =>
        {
            byte[] pairs = new byte[groups * (values / 2)];
            byte[] factors = new byte[groups * 4];
            codes.Read(row * pairs.Length, pairs);
            scales.Read(row * factors.Length, factors);
            for (int g = 0; g < groups; g++)
            {
                Span<byte> block = blocks.Slice(g * bytes, bytes);
                factors.AsSpan(g * 4, 4).CopyTo(block);
                for (int s = 0; s < 4; s++)
                {
                    Halve(pairs.AsSpan((g * (values / 2)) + (s * 8), 8), block.Slice(4 + (s * 8), 8));
                }
            }
        }), global);
    }

    /// <summary>From neighbours in a byte to elements half a group apart in a byte.</summary>
    private static void Halve(ReadOnlySpan<byte> pairs, Span<byte> halves)
    {
        for (int j = 0; j < pairs.Length; j++)
        {
            halves[j] = (byte)(Nibble(pairs, j) | (Nibble(pairs, j + pairs.Length) << 4));
        }
    }

    private static int Nibble(ReadOnlySpan<byte> pairs, int index) => (pairs[index >> 1] >> ((index & 1) * 4)) & 15;

    /// <summary>ggml's scale of a block is its largest magnitude, so encoding the values gives back their trits where the magnitude is an f16 number.</summary>
    private static GgufBlocks? Ternary(DenseEncoding dense, string type, out string reason)
    {
        reason = "";
        IValueReader values = EncodingValues.Open(dense);
        int columns = checked((int)dense.Shape.Columns);
        float[] row = new float[columns];
        for (long r = 0; r < dense.Shape.Rows; r++)
        {
            values.ReadRows(r, 1, row);
            if (Array.Find(row, v => !IsHalf(v)) is float unfit and not 0)
            {
                reason = string.Create(CultureInfo.InvariantCulture, $"magnitude {unfit:R} of row {r} is not an f16 number, as {type} needs; compile with gguf-{type}");
                return null;
            }
        }

        IBoundNumberFormat format = NumberFormats.Bind(new UnitSpec("gguf-" + type), dense.Shape);
        int bytes = checked((int)format.Streams[0].BytesPerRow);
        return new GgufBlocks(type, new RowData(dense.Shape.Rows, bytes, (r, blocks) =>
        {
            float[] source = new float[columns];
            byte[] encoded = new byte[bytes];
            values.ReadRows(r, 1, source);
            format.EncodeRows(source, 1, [encoded]);
            encoded.CopyTo(blocks);
        }));
    }
}
