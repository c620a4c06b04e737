using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Kernels.MatMul;

/// <summary>Products with single rows of a <see cref="NeuronMatrix"/> in f32. Loops of vectors; what is left of a row is done value by value.</summary>
internal static unsafe class NeuronRows<TSimd>
    where TSimd : struct, ISimd<TSimd>
{
    /// <summary>h[neurons[i]] *= sum over k of M[neurons[i], k] x[k], four neurons at a time, each with two accumulators that are joined at the end.</summary>
    /// <param name="matrix">The values.</param>
    /// <param name="stride">Bytes from row to row.</param>
    /// <param name="narrow">True for bf16.</param>
    /// <param name="neurons">Rows of the matrix; what stands behind them up to a multiple of four is overwritten.</param>
    /// <param name="count">Their number.</param>
    /// <param name="x">[columns].</param>
    /// <param name="columns">Their number.</param>
    /// <param name="h">Factors.</param>
    public static void MultiplyRows(byte* matrix, long stride, bool narrow, int* neurons, int count, float* x, int columns, float* h)
    {
        float* sums = stackalloc float[4];
        for (int i = 0; i < count; i += 4)
        {
            for (int rest = count; rest < i + 4; rest++)
            {
                neurons[rest] = neurons[i];
            }

            DotFour(matrix + (stride * neurons[i]), matrix + (stride * neurons[i + 1]), matrix + (stride * neurons[i + 2]), matrix + (stride * neurons[i + 3]), narrow, x, columns, sums);
            for (int n = 0; n < Math.Min(4, count - i); n++)
            {
                h[neurons[i + n]] *= sums[n];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void DotFour(byte* a, byte* b, byte* c, byte* d, bool narrow, float* x, int columns, float* sums)
    {
        TSimd a0 = TSimd.Zero;
        TSimd a1 = TSimd.Zero;
        TSimd b0 = TSimd.Zero;
        TSimd b1 = TSimd.Zero;
        TSimd c0 = TSimd.Zero;
        TSimd c1 = TSimd.Zero;
        TSimd d0 = TSimd.Zero;
        TSimd d1 = TSimd.Zero;
        int k = 0;
        if (narrow)
        {
            for (; k <= columns - (2 * TSimd.Count); k += 2 * TSimd.Count)
            {
                TSimd first = TSimd.Load(x + k);
                TSimd second = TSimd.Load(x + k + TSimd.Count);
                a0 = TSimd.MultiplyAdd(Widen((ushort*)a + k), first, a0);
                a1 = TSimd.MultiplyAdd(Widen((ushort*)a + k + TSimd.Count), second, a1);
                b0 = TSimd.MultiplyAdd(Widen((ushort*)b + k), first, b0);
                b1 = TSimd.MultiplyAdd(Widen((ushort*)b + k + TSimd.Count), second, b1);
                c0 = TSimd.MultiplyAdd(Widen((ushort*)c + k), first, c0);
                c1 = TSimd.MultiplyAdd(Widen((ushort*)c + k + TSimd.Count), second, c1);
                d0 = TSimd.MultiplyAdd(Widen((ushort*)d + k), first, d0);
                d1 = TSimd.MultiplyAdd(Widen((ushort*)d + k + TSimd.Count), second, d1);
            }
        }
        else
        {
            for (; k <= columns - (2 * TSimd.Count); k += 2 * TSimd.Count)
            {
                TSimd first = TSimd.Load(x + k);
                TSimd second = TSimd.Load(x + k + TSimd.Count);
                a0 = TSimd.MultiplyAdd(TSimd.Load((float*)a + k), first, a0);
                a1 = TSimd.MultiplyAdd(TSimd.Load((float*)a + k + TSimd.Count), second, a1);
                b0 = TSimd.MultiplyAdd(TSimd.Load((float*)b + k), first, b0);
                b1 = TSimd.MultiplyAdd(TSimd.Load((float*)b + k + TSimd.Count), second, b1);
                c0 = TSimd.MultiplyAdd(TSimd.Load((float*)c + k), first, c0);
                c1 = TSimd.MultiplyAdd(TSimd.Load((float*)c + k + TSimd.Count), second, c1);
                d0 = TSimd.MultiplyAdd(TSimd.Load((float*)d + k), first, d0);
                d1 = TSimd.MultiplyAdd(TSimd.Load((float*)d + k + TSimd.Count), second, d1);
            }
        }

        // Lanes are added in the order of a tree, four sums side by side.
        float* lanes = stackalloc float[64];
        TSimd.Store(TSimd.Add(a0, a1), lanes);
        TSimd.Store(TSimd.Add(b0, b1), lanes + TSimd.Count);
        TSimd.Store(TSimd.Add(c0, c1), lanes + (2 * TSimd.Count));
        TSimd.Store(TSimd.Add(d0, d1), lanes + (3 * TSimd.Count));
        for (int n = 0; n < 4; n++)
        {
            float* row = lanes + (n * TSimd.Count);
            Vector128<float> sum = Vector128.Load(row);
            for (int i = 4; i < TSimd.Count; i += 4)
            {
                sum += Vector128.Load(row + i);
            }

            sums[n] = Vector128.Sum(sum);
        }

        for (; k < columns; k++)
        {
            sums[0] += Value(a, narrow, k) * x[k];
            sums[1] += Value(b, narrow, k) * x[k];
            sums[2] += Value(c, narrow, k) * x[k];
            sums[3] += Value(d, narrow, k) * x[k];
        }
    }

    /// <summary>
    /// y[r, c] += sum over i of h[r, i] M[neurons[i], c] for some columns: four neurons at a time, for all rows of y while they are in the first cache. Every sum grows in the order of the list, so that a row does not depend on
    /// the others.
    /// </summary>
    /// <param name="matrix">The values.</param>
    /// <param name="stride">Bytes from row to row.</param>
    /// <param name="narrow">True for bf16.</param>
    /// <param name="neurons">Rows to be added.</param>
    /// <param name="h">[rows, hStride] factors; most may be 0.</param>
    /// <param name="hStride">Values from row to row.</param>
    /// <param name="count">Number of neurons.</param>
    /// <param name="y">[rows, yStride] sums.</param>
    /// <param name="yStride">Values from row to row.</param>
    /// <param name="rows">Rows of y.</param>
    /// <param name="first">First column.</param>
    /// <param name="last">Column after the last.</param>
    public static void AddRows(byte* matrix, long stride, bool narrow, int* neurons, float* h, int hStride, int count, float* y, long yStride, int rows, int first, int last)
    {
        int i = 0;
        for (; i <= count - 4; i += 4)
        {
            byte* a = matrix + (stride * neurons[i]);
            byte* b = matrix + (stride * neurons[i + 1]);
            byte* c = matrix + (stride * neurons[i + 2]);
            byte* d = matrix + (stride * neurons[i + 3]);
            for (int r = 0; r < rows; r++)
            {
                float* of = h + ((long)r * hStride) + i;
                if (of[0] != 0 || of[1] != 0 || of[2] != 0 || of[3] != 0)
                {
                    AddFour(a, b, c, d, narrow, of, y + (r * yStride), first, last);
                }
            }
        }

        for (; i < count; i++)
        {
            for (int r = 0; r < rows; r++)
            {
                AddOne(matrix + (stride * neurons[i]), narrow, h[((long)r * hStride) + i], y + (r * yStride), first, last);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddFour(byte* a, byte* b, byte* c, byte* d, bool narrow, float* h, float* y, int first, int last)
    {
        TSimd ha = TSimd.Create(h[0]);
        TSimd hb = TSimd.Create(h[1]);
        TSimd hc = TSimd.Create(h[2]);
        TSimd hd = TSimd.Create(h[3]);
        int k = first;
        if (narrow)
        {
            for (; k <= last - TSimd.Count; k += TSimd.Count)
            {
                TSimd sum = TSimd.MultiplyAdd(Widen((ushort*)a + k), ha, TSimd.Load(y + k));
                sum = TSimd.MultiplyAdd(Widen((ushort*)b + k), hb, sum);
                sum = TSimd.MultiplyAdd(Widen((ushort*)c + k), hc, sum);
                TSimd.Store(TSimd.MultiplyAdd(Widen((ushort*)d + k), hd, sum), y + k);
            }
        }
        else
        {
            for (; k <= last - TSimd.Count; k += TSimd.Count)
            {
                TSimd sum = TSimd.MultiplyAdd(TSimd.Load((float*)a + k), ha, TSimd.Load(y + k));
                sum = TSimd.MultiplyAdd(TSimd.Load((float*)b + k), hb, sum);
                sum = TSimd.MultiplyAdd(TSimd.Load((float*)c + k), hc, sum);
                TSimd.Store(TSimd.MultiplyAdd(TSimd.Load((float*)d + k), hd, sum), y + k);
            }
        }

        for (; k < last; k++)
        {
            // One after the other, as AddOne would.
            float sum = y[k] + (Value(a, narrow, k) * h[0]);
            sum += Value(b, narrow, k) * h[1];
            sum += Value(c, narrow, k) * h[2];
            y[k] = sum + (Value(d, narrow, k) * h[3]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddOne(byte* row, bool narrow, float h, float* y, int first, int last)
    {
        TSimd factor = TSimd.Create(h);
        int k = first;
        for (; k <= last - TSimd.Count; k += TSimd.Count)
        {
            TSimd.Store(TSimd.MultiplyAdd(narrow ? Widen((ushort*)row + k) : TSimd.Load((float*)row + k), factor, TSimd.Load(y + k)), y + k);
        }

        for (; k < last; k++)
        {
            y[k] += Value(row, narrow, k) * h;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Widen(ushort* source) => TSimd.ShiftLeft(TSimd.WidenWords(source), 16);

    private static float Value(byte* row, bool narrow, int k) => narrow ? BitConverter.Int32BitsToSingle(((ushort*)row)[k] << 16) : ((float*)row)[k];
}
