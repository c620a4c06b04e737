using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;

namespace ModelPack.Tests.Kernels;

/// <summary>A matrix of which single elements are stored, at random places.</summary>
internal sealed unsafe class MaskedCase : IDisposable
{
    private readonly EncodedMatrix _values;
    private readonly PoisonBuffer _tiles;

    private MaskedCase(EncodedMatrix values, MaskedWeight weight, float[] dense)
    {
        (_values, Weight, Dense) = (values, weight, dense);
        _tiles = PoisonBuffer.EndingAtGuard((int)weight.Bytes);
        weight.Pack(values.Streams(weight.Roles), 0, weight.Rows, (nint)_tiles.Pointer);
    }

    public MaskedWeight Weight { get; }

    public float[] Dense { get; }

    public static MaskedCase Make(string structure, string format, int n, int k, bool emptyRow, float past = 0)
    {
        var spec = UnitSpec.Parse(structure);
        int group = spec.Id == "nm" ? spec.Int("m", 0, 1, 64) : spec.Int("bank", 1, 1, 64);
        int kept = spec.Id == "nm" ? spec.Int("n", 0, 1, 64) : spec.Int("kept", 0, 0, 64);
        int places = (k + group - 1) / group * group;
        int rowBytes = (places + 7) / 8;
        byte[] mask = new byte[n * rowBytes];
        var random = new SplitMix((ulong)(n + k));
        var stored = new List<(int Row, int Column)>();
        for (int r = 0; r < n; r++)
        {
            var chosen = new SortedSet<int>();
            for (int first = 0; first < places; first += group)
            {
                while (spec.Id != "bitmap" && chosen.Count(p => p >= first) < kept)
                {
                    chosen.Add(first + (int)random.Below(group));
                }

                if (spec.Id == "bitmap" && !(emptyRow && r == 1) && random.Below(2) == 0)
                {
                    chosen.Add(first);
                }
            }

            foreach (int place in chosen)
            {
                mask[(r * rowBytes) + (place / 8)] |= (byte)(1 << (place % 8));
                stored.Add((r, place));
            }
        }

        int perRow = spec.Id == "bitmap" ? 256 : places / group * kept;
        int rows = spec.Id == "bitmap" ? Math.Max(1, (stored.Count + 255) / 256) : n;
        float[] values = Values.Weights(9, rows * perRow);
        for (int i = 0; i < stored.Count; i++)
        {
            values[i] = stored[i].Column < k ? values[i] : past;
        }

        EncodedMatrix encoded = EncodedMatrix.Encode(format, rows, perRow, values);
        float[] dense = new float[n * k];
        for (int i = 0; i < stored.Count; i++)
        {
            if (stored[i].Column < k)
            {
                dense[(stored[i].Row * k) + stored[i].Column] = encoded.Decoded[i];
            }
        }

        return new MaskedCase(encoded, MaskedWeight.TryCreate(spec, encoded.Spec, n, k, mask)!, dense);
    }

    public float[] Multiply(float[] x, int rows, KernelTier tier)
    {
        using PoisonBuffer input = PoisonBuffer.Copy<float>(x);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(rows * Weight.Rows * sizeof(float));
        new MaskedMatMulRun(Weight, tier).Run(_tiles.Pointer, (float*)input.Pointer, rows, (float*)output.Pointer);
        return new Span<float>(output.Pointer, rows * Weight.Rows).ToArray();
    }

    public byte[] Packed()
    {
        byte[] bytes = new byte[PackedMaskedMatrix.Bytes(Weight)];
        PackedMaskedMatrix.WriteHeader(Weight, bytes.AsSpan(0, (int)PackedMaskedMatrix.TilesOffset(Weight)));
        new ReadOnlySpan<byte>(_tiles.Pointer, (int)Weight.Bytes).CopyTo(bytes.AsSpan((int)PackedMaskedMatrix.TilesOffset(Weight)));
        return bytes;
    }

    public void Dispose()
    {
        ((IDisposable)_tiles).Dispose();
        _values.Dispose();
    }
}
