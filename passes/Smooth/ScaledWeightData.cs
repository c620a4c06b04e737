using System.Runtime.InteropServices;

namespace ModelPack.Passes;

/// <summary>Plainly stored floats times a factor for each position along the first axis and one for each along the second, in f64, rounded once to f32; computed when read.</summary>
/// <param name="source">The values, row-major.</param>
/// <param name="stored">Their type: f32, f16 or bf16.</param>
/// <param name="first">Factors along the first axis.</param>
/// <param name="second">Factors along the second axis; empty for none.</param>
/// <param name="count">Number of values.</param>
internal sealed class ScaledWeightData(TensorData source, DType stored, double[] first, double[] second, long count) : ComputedFloats(count)
{
    private const int Piece = 4096;

    private readonly long _perFirst = Math.Max(1, count / Math.Max(1, first.Length));

    protected override void Compute(long from, Span<float> values)
    {
        for (int at = 0; at < values.Length; at += Piece)
        {
            ComputePiece(from + at, values.Slice(at, Math.Min(Piece, values.Length - at)));
        }
    }

    private void ComputePiece(long from, Span<float> values)
    {
        if (stored == DType.F32)
        {
            source.Read(from * sizeof(float), MemoryMarshal.AsBytes(values));
        }
        else
        {
            Span<ushort> halves = stackalloc ushort[values.Length];
            source.Read(from * sizeof(ushort), MemoryMarshal.AsBytes(halves));
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = stored == DType.BF16 ? BitConverter.Int32BitsToSingle(halves[i] << 16) : (float)BitConverter.UInt16BitsToHalf(halves[i]);
            }
        }

        long perSecond = second.Length == 0 ? _perFirst : _perFirst / second.Length;
        for (int i = 0; i < values.Length;)
        {
            long at = from + i;
            long inner = at % _perFirst;
            double factor = first[at / _perFirst];
            factor = second.Length == 0 ? factor : factor * second[inner / perSecond];
            int run = (int)Math.Min(values.Length - i, perSecond - (inner % perSecond));
            foreach (ref float value in values.Slice(i, run))
            {
                value = (float)(value * factor);
            }

            i += run;
        }
    }
}
