using System.Buffers.Binary;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Containers.Gguf;

/// <summary>
/// Weights of GGUF files in formats that have kernels here: the same codes and scales in another order, rearranged as they are read. Nothing is quantised again.
/// <code>
/// q8_0, q5_0, q4_0                     int8, int5, int4 (block=32, scale=f16)
/// mxfp4, nvfp4                         mxfp4, nvfp4
/// q4_1, q4_k, q6_k, tq1_0, tq2_0       the blocks themselves (gguf-*)
/// q5_1, q2_k, q3_k, q5_k               the values they mean, f32
/// f32, f16, bf16                       themselves
/// </code>
/// </summary>
/// <remarks>Source: ggml, <c>src/ggml-common.h</c>, <c>src/ggml-quants.c</c>.</remarks>
public static class GgufWeights
{
    private const int Group = 32;
    private const string Prefix = "gguf-";

    /// <summary>A weight, with its rows in another order where one is asked for.</summary>
    /// <param name="tensor">As the container reads it.</param>
    /// <param name="name">The name it gets.</param>
    /// <param name="rows">Which row of the file becomes a row; null: every row stays.</param>
    /// <param name="factor">What all values are multiplied by: a tensor of its own beside NVFP4.</param>
    /// <exception cref="ModelPackException">MP4110: blocks of a type that can be packed but not read.</exception>
    public static Tensor Ours(Tensor tensor, string name, Func<long, long>? rows = null, float factor = 1)
    {
        long count = tensor.Shape.Rank == 1 && rows is not null ? tensor.Shape[0] : tensor.Shape.Rows;
        if (tensor.TryGetRawData(out TensorData plain))
        {
            return Tensor.Raw(name, tensor.DType, tensor.Shape, Reordered(plain, count, rows));
        }

        if (tensor.Encoding is not DenseEncoding dense || !dense.Format.Id.StartsWith(Prefix, StringComparison.Ordinal))
        {
            return tensor with { Name = name }; // Matrices of bitnet.cpp, which llama.cpp's families do not have.
        }

        TensorData blocks = dense.Streams[0].Data;
        Tensor Stored(UnitSpec format, params ReadOnlySpan<EncodedStream> streams) => tensor with { Name = name, Encoding = new DenseEncoding(format, tensor.Shape, [.. streams]) };
        string type = dense.Format.Id[Prefix.Length..];
        switch (type)
        {
            case "q8_0":
                return Stored(Integers(8), Codes(blocks, tensor.Shape, 8, 34, 2, rows), Scales(blocks, tensor.Shape, 34, 0, 2, rows));
            case "q5_0":
                return Stored(Integers(5), Codes(blocks, tensor.Shape, 5, 22, 2, rows), Scales(blocks, tensor.Shape, 22, 0, 2, rows));
            case "q4_0":
                return Stored(Integers(4), Codes(blocks, tensor.Shape, 4, 18, 2, rows), Scales(blocks, tensor.Shape, 18, 0, 2, rows));
            case "mxfp4":
                return Stored(new UnitSpec("mxfp4", ("mode", "floor")), Codes(blocks, tensor.Shape, 4, 17, 1, rows), Scales(blocks, tensor.Shape, 17, 0, 1, rows));
            case "nvfp4":
                return Stored(new UnitSpec("nvfp4", ("global", factor.ToString("R", CultureInfo.InvariantCulture))), Nvfp4Codes(blocks, tensor.Shape, rows), Scales(blocks, tensor.Shape, 36, 0, 4, rows, 64));
            case "q4_1" or "q4_k" or "q6_k" or "tq1_0" or "tq2_0":
                return tensor with { Name = name, Encoding = dense with { Streams = [new EncodedStream("blocks", Reordered(blocks, count, rows))] } };
            case var _ when GgufBlockData.Reads(type):
                return Tensor.Raw(name, DType.F32, tensor.Shape, new GgufBlockData(type, Reordered(blocks, count, rows), tensor.Shape.ElementCount));
            default:
                throw new ModelPackException(ErrorCodes.CompileNotPossible, $"is stored as {type}, which can be packed and listed but not decoded: 'pack' makes the file smaller, byte for byte", tensor: tensor.Name);
        }
    }

    private static UnitSpec Integers(int bits) => new(string.Create(CultureInfo.InvariantCulture, $"int{bits}"), ("block", "32"), ("scale", "f16"), ("search", "none"), ("symmetric", "true"));

    private static TensorData Reordered(TensorData data, long rows, Func<long, long>? source)
    {
        if (source is null || rows == 0 || data.LengthBytes == 0)
        {
            return data;
        }

        long rowBytes = data.LengthBytes / rows;
        return new ComputedRows(rows, rowBytes, (first, count, destination) =>
        {
            for (int r = 0; r < count; r++)
            {
                data.Read(source(first + r) * rowBytes, destination.Slice((int)(r * rowBytes), (int)rowBytes));
            }
        });
    }

    /// <summary>The field of every block that holds its scale, or its scales.</summary>
    private static EncodedStream Scales(TensorData blocks, Shape shape, int blockBytes, int at, int bytes, Func<long, long>? source, int values = Group) =>
        new("scales", PerBlock(blocks, shape, blockBytes, bytes, source, values, (block, scale) => block.Slice(at, bytes).CopyTo(scale)));

    /// <summary>Codes from 0 on, low bits first.</summary>
    private static EncodedStream Codes(TensorData blocks, Shape shape, int bits, int blockBytes, int at, Func<long, long>? source) =>
        new("codes", PerBlock(blocks, shape, blockBytes, Group * bits / 8, source, Group, (block, codes) => Codes(block[at..], bits, codes)));

    /// <summary>Signed bytes are counted from -128, a fifth bit joins the others, halves of a block that share bytes come apart.</summary>
    private static void Codes(ReadOnlySpan<byte> stored, int bits, Span<byte> codes)
    {
        switch (bits)
        {
            case 8:
                for (int j = 0; j < Group; j++)
                {
                    codes[j] = (byte)(stored[j] ^ 0x80);
                }

                break;
            case 5:
                uint fifth = BinaryPrimitives.ReadUInt32LittleEndian(stored);
                codes.Clear();
                for (int j = 0; j < Group; j++)
                {
                    int code = Nibble(stored[4..], j, Group / 2) | (int)((fifth >> j & 1) << 4);
                    int bit = j * 5;
                    codes[bit >> 3] |= (byte)(code << (bit & 7));
                    if ((bit & 7) > 3)
                    {
                        codes[(bit >> 3) + 1] |= (byte)(code >> (8 - (bit & 7)));
                    }
                }

                break;
            default:
                Pairs(stored, codes);
                break;
        }
    }

    /// <summary>Four groups of 16 in a block; each is cut in halves as a block of the others is.</summary>
    private static EncodedStream Nvfp4Codes(TensorData blocks, Shape shape, Func<long, long>? source) => new("codes", PerBlock(blocks, shape, 36, 32, source, 64, (block, codes) =>
    {
        for (int s = 0; s < 4; s++)
        {
            Pairs(block.Slice(4 + (s * 8), 8), codes.Slice(s * 8, 8));
        }
    }));

    /// <summary>From elements half a group apart in a byte to neighbours in a byte.</summary>
    private static void Pairs(ReadOnlySpan<byte> halves, Span<byte> pairs)
    {
        for (int j = 0; j < pairs.Length; j++)
        {
            pairs[j] = (byte)(Nibble(halves, 2 * j, pairs.Length) | (Nibble(halves, (2 * j) + 1, pairs.Length) << 4));
        }
    }

    private static int Nibble(ReadOnlySpan<byte> halves, int index, int half) => index < half ? halves[index] & 15 : halves[index - half] >> 4;

    private static ComputedRows PerBlock(TensorData blocks, Shape shape, int blockBytes, int outputBytes, Func<long, long>? source, int values, BlockPart part)
    {
        int perRow = checked((int)(shape.Columns / values));
        int rowBytes = checked(perRow * blockBytes);
        int outputRow = perRow * outputBytes;
        return new ComputedRows(shape.Rows, outputRow, (first, count, destination) =>
        {
            byte[] row = new byte[rowBytes];
            for (int r = 0; r < count; r++)
            {
                blocks.Read((source is null ? first + r : source(first + r)) * rowBytes, row);
                for (int b = 0; b < perRow; b++)
                {
                    part(row.AsSpan(b * blockBytes, blockBytes), destination.Slice((r * outputRow) + (b * outputBytes), outputBytes));
                }
            }
        });
    }

    private delegate void BlockPart(ReadOnlySpan<byte> block, Span<byte> part);
}
