using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>
/// A weight of a linear layer as GPTQ or AWQ store it, inputs first: the same codes, scales and zero codes.
/// <code>
/// GPTQ   qweight i32 [in · bits / 32, out] packed down the inputs, qzeros i32 [groups, out · bits / 32], scales f16 [groups, out], g_idx i32 [in]
/// AWQ    qweight i32 [in, out / 8] and qzeros i32 [groups, out / 8] packed along the outputs in the order 0 2 4 6 1 3 5 7, scales f16 [groups, out]
/// </code>
/// </summary>
/// <remarks>Source: GPTQModel, <c>nn_modules/qlinear</c>; AutoAWQ, <c>modules/linear/gemm.py</c>, <c>utils/packing_utils.py</c>.</remarks>
internal sealed class PackedLinear
{
    private const string Suffix = ".weight";
    private const int PerWord = 8;

    private readonly StoredIntegers _stored;
    private readonly string _module;
    private readonly BandCache _cache;

    private PackedLinear(StoredIntegers stored, string module, BandCache cache)
    {
        _stored = stored;
        _module = module;
        _cache = cache;
    }

    /// <summary>Nibble i of a word of AWQ holds column <c>AwqOrder[i]</c>.</summary>
    private static ReadOnlySpan<byte> AwqOrder => [0, 2, 4, 6, 1, 3, 5, 7];

    public int Bits => _stored.Bits;

    /// <summary>Inputs that share a scale; -1 for all.</summary>
    public int GroupSize => _stored.WholeRows ? -1 : _stored.Block;

    public bool Symmetric => _stored.Symmetric;

    private long Inputs => _stored.Columns;

    private long Outputs => _stored.Shape[0];

    /// <summary>The layer that a weight is, if the layout holds its codes and scales as they are.</summary>
    /// <param name="tensor">A matrix [out, in] named <c>module.weight</c>.</param>
    /// <param name="awq">For AWQ, else for GPTQ.</param>
    /// <param name="cache">Shared by all layers of an export.</param>
    /// <param name="reason">Why there is none.</param>
    public static PackedLinear? Of(Tensor tensor, bool awq, BandCache cache, out string reason)
    {
        string layout = awq ? "AWQ" : "GPTQ";
        if (StoredIntegers.Of(tensor.Encoding) is not StoredIntegers stored)
        {
            reason = $"'{tensor.Encoding.Describe()}' is no integers with integer zero points, which {layout} alone has";
            return null;
        }

        reason = awq && stored.Bits != 4 ? $"AWQ has 4 bits, not {stored.Bits}"
            : stored.Bits is not (2 or 3 or 4 or 8) ? $"GPTQ has 2, 3, 4 or 8 bits, not {stored.Bits}"
            : stored.Columns % 32 != 0 || stored.Shape[0] % 32 != 0 ? $"{stored.Shape[0]} outputs of {stored.Columns} inputs: {layout} packs multiples of 32"
            : stored.Columns % stored.Block != 0 ? $"rows of {stored.Columns} are no whole groups of {stored.Block}"
            : Unfit(stored) is string unfit ? $"{unfit} is not an f16 number, as {layout} needs; compile with int{stored.Bits}(scale=f16)"
            : "";
        return reason.Length == 0 ? new PackedLinear(stored, tensor.Name[..^Suffix.Length], cache) : null;
    }

    /// <summary>Whether a zero code is 0, which the first version of GPTQ's format, storing one less, does not have.</summary>
    public bool HasZeroAtZero()
    {
        byte[] zeros = new byte[_stored.Blocks];
        for (long row = 0; row < Outputs && !Symmetric; row++)
        {
            _stored.ReadZeros(row, zeros);
            if (Array.IndexOf(zeros, (byte)0) >= 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The tensors of GPTQ.</summary>
    /// <param name="less">What is taken off zero codes: 1 in the first version of the format.</param>
    public ImmutableArray<Tensor> Gptq(int less)
    {
        long words = Inputs * Bits / 32;
        int group = _stored.Block;
        byte[] order = MemoryMarshal.AsBytes<int>([.. Enumerable.Range(0, (int)Inputs).Select(k => k / group)]).ToArray();
        return
        [
            Tensor.Raw(_module + ".qweight", DType.I32, new Shape(words, Outputs), new BandedRows(words, Outputs * 4, _cache, GptqCodes)),
            Tensor.Raw(_module + ".qzeros", DType.I32, new Shape(_stored.Blocks, Outputs * Bits / 32), new BandedRows(_stored.Blocks, Outputs * Bits / 8, _cache, (first, count, band) => Zeros(first, count, band, awq: false, less))),
            Scales(),
            Tensor.Raw(_module + ".g_idx", DType.I32, new Shape(Inputs), TensorData.FromBytes(order)),
        ];
    }

    /// <summary>The tensors of AWQ.</summary>
    public ImmutableArray<Tensor> Awq() =>
    [
        Tensor.Raw(_module + ".qweight", DType.I32, new Shape(Inputs, Outputs / PerWord), new BandedRows(Inputs, Outputs / 2, _cache, AwqCodes)),
        Tensor.Raw(_module + ".qzeros", DType.I32, new Shape(_stored.Blocks, Outputs / PerWord), new BandedRows(_stored.Blocks, Outputs / 2, _cache, (first, count, band) => Zeros(first, count, band, awq: true, less: 0))),
        Scales(),
    ];

    /// <summary>The first scale that f16 does not hold.</summary>
    private static string? Unfit(StoredIntegers stored)
    {
        if (stored.ScaleType == DType.F16)
        {
            return null;
        }

        float[] scales = new float[stored.Blocks];
        for (long row = 0; row < stored.Shape[0]; row++)
        {
            stored.ReadScales(row, scales);
            if (Array.FindIndex(scales, s => (float)(Half)s != s) is >= 0 and int b)
            {
                return string.Create(CultureInfo.InvariantCulture, $"scale {scales[b]:R} of row {row}, block {b}");
            }
        }

        return null;
    }

    /// <summary>Rows of our codes are the words of a column here, one after the other: blocks end at whole bytes, and groups of 16 codes do.</summary>
    private void GptqCodes(long first, int count, Span<byte> band)
    {
        byte[] words = new byte[count * 4];
        long rowBytes = Inputs * Bits / 8;
        Span<uint> to = MemoryMarshal.Cast<byte, uint>(band);
        for (int n = 0; n < Outputs; n++)
        {
            _stored.Codes.Read((n * rowBytes) + (first * 4), words);
            ReadOnlySpan<uint> from = MemoryMarshal.Cast<byte, uint>(words);
            for (int r = 0; r < count; r++)
            {
                to[(int)((r * Outputs) + n)] = from[r];
            }
        }
    }

    private void AwqCodes(long first, int count, Span<byte> band)
    {
        band.Clear();
        byte[] codes = new byte[Inputs];
        for (int n = 0; n < Outputs; n++)
        {
            _stored.ReadCodes(n, codes);
            for (int r = 0; r < count; r++)
            {
                Put(band[(int)(r * Outputs / 2)..], AwqBit(n), codes[first + r]);
            }
        }
    }

    private void Zeros(long first, int count, Span<byte> band, bool awq, int less)
    {
        band.Clear();
        byte[] zeros = new byte[_stored.Blocks];
        for (int n = 0; n < Outputs; n++)
        {
            _stored.ReadZeros(n, zeros);
            for (int g = 0; g < count; g++)
            {
                Put(band[(int)(g * Outputs * Bits / 8)..], awq ? AwqBit(n) : n * Bits, zeros[first + g] - less);
            }
        }
    }

    private Tensor Scales() => Tensor.Raw(_module + ".scales", DType.F16, new Shape(_stored.Blocks, Outputs), new BandedRows(_stored.Blocks, Outputs * 2, _cache, (first, count, band) =>
    {
        float[] scales = new float[_stored.Blocks];
        Span<Half> to = MemoryMarshal.Cast<byte, Half>(band);
        for (int n = 0; n < Outputs; n++)
        {
            _stored.ReadScales(n, scales);
            for (int g = 0; g < count; g++)
            {
                to[(int)((g * Outputs) + n)] = (Half)scales[first + g];
            }
        }
    }));

    private static int AwqBit(int column) => (column / PerWord * 32) + (AwqOrder.IndexOf((byte)(column % PerWord)) * 4);

    /// <summary>Puts a code at a bit of cleared bytes; it may reach into the next one.</summary>
    private static void Put(Span<byte> packed, int bit, int code)
    {
        int shifted = code << (bit & 7);
        packed[bit >> 3] |= (byte)shifted;
        if (shifted > 255)
        {
            packed[(bit >> 3) + 1] |= (byte)(shifted >> 8);
        }
    }
}
