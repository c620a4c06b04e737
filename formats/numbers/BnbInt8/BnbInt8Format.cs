using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Weights of LLM.int8(): signed bytes and the largest magnitude of every row. See SPEC.md.</summary>
internal sealed class BnbInt8Format : ITieredFormat
{
    /// <summary>1/127 in f32, as bitsandbytes writes it.</summary>
    internal const float Unit = 7.874015718698502e-3f;

    public string Id => "bnb-int8";

    public string Summary => "8-bit integers with the largest magnitude of each row, as bitsandbytes stores LLM.int8() weights";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly();
        return new Bound(new UnitSpec(Id), shape, tier);
    }

    private sealed class Bound(UnitSpec spec, Shape shape, SimdTier tier)
        : BoundRowFormat(spec, shape, new StreamLayout("codes", shape.Columns, DType.I8), new StreamLayout("scales", sizeof(float), DType.F32))
    {
        protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
        {
            if (FiniteCheck.FirstNotFinite(values) >= 0)
            {
                throw NotFinite(values);
            }

            Span<float> scales = MemoryMarshal.Cast<byte, float>(streams[1].Span);
            for (int r = 0; r < rows; r++)
            {
                ReadOnlySpan<float> row = values.Slice(r * Columns, Columns);
                float amax = TernaryValues.Largest(row);
                if (!float.IsFinite(127 * amax))
                {
                    // Decoders multiply with the code first.
                    throw Unrepresentable(values, (r * Columns) + LargestIndex(row, amax));
                }

                scales[r] = amax;

                // A row of zeros, or one so small that the factor overflows, has codes 0.
                float factor = 127f / amax;
                Encode(row, float.IsFinite(factor) ? factor : 0, streams[0].Span.Slice(r * Columns, Columns));
            }
        }

        protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
        {
            ReadOnlySpan<float> scales = MemoryMarshal.Cast<byte, float>(streams[1].Span);
            CheckFinite(scales);
            for (int r = 0; r < rows; r++)
            {
                Decode(streams[0].Span.Slice(r * Columns, Columns), scales[r], values.Slice(r * Columns, Columns));
            }
        }

        private static int LargestIndex(ReadOnlySpan<float> row, float amax)
        {
            int at = 0;
            while (Math.Abs(row[at]) != amax)
            {
                at++;
            }

            return at;
        }

        private void Encode(ReadOnlySpan<float> row, float factor, Span<byte> codes)
        {
            int done = tier switch
            {
                SimdTier.Vector512 => EncodeLanes<Lanes512>(row, factor, codes),
                SimdTier.Vector256 => EncodeLanes<Lanes256>(row, factor, codes),
                SimdTier.Vector128 => EncodeLanes<Lanes128>(row, factor, codes),
                _ => 0,
            };
            for (int i = done; i < row.Length; i++)
            {
                codes[i] = (byte)(sbyte)MathF.Round(Math.Clamp(row[i] * factor, -127f, 127f));
            }
        }

        private void Decode(ReadOnlySpan<byte> codes, float scale, Span<float> row)
        {
            int done = tier switch
            {
                SimdTier.Vector512 => DecodeLanes<Lanes512>(codes, scale, row),
                SimdTier.Vector256 => DecodeLanes<Lanes256>(codes, scale, row),
                SimdTier.Vector128 => DecodeLanes<Lanes128>(codes, scale, row),
                _ => 0,
            };
            for (int i = done; i < row.Length; i++)
            {
                float product = (sbyte)codes[i] * scale;
                row[i] = product * Unit;
            }
        }

        private static int EncodeLanes<TLanes>(ReadOnlySpan<float> row, float factor, Span<byte> codes)
            where TLanes : struct, ILanes16<TLanes>
        {
            TLanes factors = TLanes.Create(factor);
            TLanes lowest = TLanes.Create(-127f);
            TLanes highest = TLanes.Create(127f);
            TLanes magic = TLanes.Create(IntBlockKernel<TLanes>.RoundingMagic);
            ref float x = ref MemoryMarshal.GetReference(row);
            int i = 0;
            for (; i + 16 <= row.Length; i += 16)
            {
                TLanes v = TLanes.Multiply(TLanes.Load(ref Unsafe.Add(ref x, i)), factors);
                TLanes.LowBytes(TLanes.Add(TLanes.Min(TLanes.Max(v, lowest), highest), magic)).CopyTo(codes[i..]);
            }

            return i;
        }

        private static int DecodeLanes<TLanes>(ReadOnlySpan<byte> codes, float scale, Span<float> row)
            where TLanes : struct, ILanes16<TLanes>
        {
            TLanes scales = TLanes.Create(scale);
            TLanes unit = TLanes.Create(Unit);
            TLanes offset = TLanes.CreateInt(128);
            Vector128<byte> flip = Vector128.Create((byte)128);
            ref float to = ref MemoryMarshal.GetReference(row);
            int i = 0;
            for (; i + 16 <= row.Length; i += 16)
            {
                TLanes v = TLanes.IntToFloat(TLanes.SubtractInt(TLanes.FromBytes(Vector128.Create(codes[i..]) ^ flip), offset));
                TLanes.Store(TLanes.Multiply(TLanes.Multiply(v, scales), unit), ref Unsafe.Add(ref to, i));
            }

            return i;
        }
    }
}
