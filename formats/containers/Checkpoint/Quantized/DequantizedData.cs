using System.Runtime.InteropServices;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// The f32 values of integer codes whose blocks our formats do not have (groups in the order of activations, groups of other lengths): (code - zero) · scale, computed as they are read.
/// </summary>
/// <param name="shape">[out, in].</param>
/// <param name="bits">Of a code.</param>
/// <param name="codes">[out, in] codes, each row packed to bytes, low bits first.</param>
/// <param name="scales">[out, groups] of <paramref name="scaleType"/>.</param>
/// <param name="scaleType">f32, f16 or bf16.</param>
/// <param name="zeros">[out, groups] zero codes, each row packed to bytes; null: 2^(bits - 1).</param>
/// <param name="groups">The group of every input, each below <paramref name="groupCount"/>.</param>
/// <param name="groupCount">Groups of a row.</param>
public sealed class DequantizedData(Shape shape, int bits, TensorData codes, TensorData scales, DType scaleType, TensorData? zeros, int[] groups, int groupCount) : ComputedFloats(shape.ElementCount)
{
    protected override void Compute(long from, Span<float> values)
    {
        int columns = groups.Length;
        int mask = (1 << bits) - 1;
        byte[] rowCodes = new byte[((columns * bits) + 7) / 8];
        byte[] rowScales = new byte[groupCount * (scaleType == DType.F32 ? 4 : 2)];
        byte[] rowZeros = new byte[((groupCount * bits) + 7) / 8];
        float[] scale = new float[groupCount];
        int[] zero = new int[groupCount];
        Array.Fill(zero, 1 << (bits - 1));
        for (int done = 0; done < values.Length;)
        {
            (long row, long column) = Math.DivRem(from + done, columns);
            codes.Read(row * rowCodes.Length, rowCodes);
            scales.Read(row * rowScales.Length, rowScales);
            zeros?.Read(row * rowZeros.Length, rowZeros);
            for (int g = 0; g < groupCount; g++)
            {
                scale[g] = CodeData.Float(rowScales.AsSpan(g * (rowScales.Length / groupCount)), scaleType);
                zero[g] = zeros is null ? zero[g] : CodeData.Get(rowZeros, (long)g * bits, mask);
            }

            for (int k = (int)column; k < columns && done < values.Length; k++, done++)
            {
                values[done] = (CodeData.Get(rowCodes, (long)k * bits, mask) - zero[groups[k]]) * scale[groups[k]];
            }
        }
    }

    /// <summary>The group of every input from the bytes of a g_idx tensor (i32).</summary>
    internal static int[] Groups(TensorData indices) => MemoryMarshal.Cast<byte, int>(indices.ToArray(int.MaxValue)).ToArray();
}
