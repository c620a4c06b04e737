using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary><c>float</c> on a shape.</summary>
internal sealed class BoundScalarFormat(UnitSpec spec, Shape shape, ScalarElement element, SmallFloatFormat format, string round, SimdTier tier, StreamLayout codes)
    : BoundRowFormat(spec, shape, codes)
{
    /// <summary>Codes packed or unpacked at once; a multiple of 16.</summary>
    private const int StepCodes = 1024;

    /// <summary>Decoder of codes that are not whole bytes.</summary>
    private readonly BlockFloatRows? _packed = element.Packed is null ? null : BlockFloatRows.For(element.Packed, tier);

    private readonly E8M0.Rounding _power = round switch
    {
        "up" => E8M0.Rounding.Up,
        "down" => E8M0.Rounding.Down,
        _ => E8M0.Rounding.Nearest,
    };

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        Span<byte> bytes = streams[0].Span;
        if (element.Bits == 16)
        {
            EncodeWords(values, MemoryMarshal.Cast<byte, ushort>(bytes));
        }
        else if (element.Name == ScalarElement.E8M0)
        {
            EncodePowers(values, bytes);
        }
        else if (element.Bits == 8)
        {
            WideFloatKernels.EncodeBytes(values, format, bytes, tier);
        }
        else
        {
            for (int i = 0; i < values.Length; i++)
            {
                if (float.IsNaN(values[i]))
                {
                    throw Unrepresentable(values, i);
                }
            }

            for (int r = 0; r < rows; r++)
            {
                EncodePacked(values.Slice(r * Columns, Columns), bytes.Slice(r * RowBytes(0), RowBytes(0)));
            }
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        ReadOnlySpan<byte> bytes = streams[0].Span;
        if (element.Table is not ByteTable table)
        {
            ReadOnlySpan<ushort> words = MemoryMarshal.Cast<byte, ushort>(bytes);
            if (element.Name == "bf16")
            {
                WideFloatKernels.WidenBf16(words, values, tier);
            }
            else
            {
                WideFloatKernels.WidenHalf(words, values, tier);
            }
        }
        else if (element.Bits == 8)
        {
            table.Decode(bytes, values, tier);
        }
        else
        {
            var layout = new BlockFloatLayout(element.Packed!, Columns, Math.Max(Columns, 1), BlockScaleType.None, ScaleMode.Floor);
            for (int r = 0; r < rows; r++)
            {
                _packed!.DecodeRow(bytes.Slice(r * RowBytes(0), RowBytes(0)), default, layout, values.Slice(r * Columns, Columns));
            }
        }
    }

    private void EncodeWords(ReadOnlySpan<float> values, Span<ushort> codes)
    {
        if (round == "truncate")
        {
            WideFloatKernels.TruncateBf16(values, codes, tier);
        }
        else if (element.Name == "bf16" && format.OverflowCode == element.SpecialCode)
        {
            WideFloatKernels.NarrowBf16(values, codes, tier);
        }
        else
        {
            WideFloatKernels.EncodeWords(values, format, codes, tier);
        }
    }

    private void EncodePowers(ReadOnlySpan<float> values, Span<byte> codes)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] < 0)
            {
                throw Unrepresentable(values, i);
            }

            codes[i] = E8M0.Encode(values[i], _power);
        }
    }

    private void EncodePacked(ReadOnlySpan<float> row, Span<byte> bytes)
    {
        Span<byte> codes = stackalloc byte[StepCodes];
        for (int i = 0; i < row.Length; i += StepCodes)
        {
            ReadOnlySpan<float> step = row.Slice(i, Math.Min(StepCodes, row.Length - i));
            WideFloatKernels.EncodeBytes(step, format, codes, tier);
            int whole = step.Length & ~15;
            for (int c = 0; c < whole; c += 16)
            {
                CodePacking.Pack16(Vector128.Create<byte>(codes.Slice(c, 16)), element.Bits, bytes.Slice((i + c) * element.Bits / 8, 2 * element.Bits));
            }

            if (whole < step.Length)
            {
                Span<byte> rest = bytes[((i + whole) * element.Bits / 8)..];
                rest.Clear();
                for (int c = whole; c < step.Length; c++)
                {
                    CodePacking.Set(rest, c - whole, element.Bits, codes[c]);
                }
            }
        }
    }
}
