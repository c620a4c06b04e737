using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// A panel of decoded weights times eight rows of activations in f32, with as many accumulators as registers allow: eight rows by two vectors of 16 lanes (two tiles), or four rows by two vectors of 8 or 4 lanes.
/// </summary>
internal static unsafe class FloatPanel<TSimd>
    where TSimd : struct, ISimd<TSimd>
{
    private const int Batch = MatMulRun.Batch;

    /// <summary>Panel x activations of eight rows; those of the next eight are <paramref name="stride"/> values further.</summary>
    /// <param name="panel">[columns of the runs, width].</param>
    /// <param name="width">16 for every tile.</param>
    /// <param name="x">Activations, [padded columns][8].</param>
    /// <param name="stride">Values from eight rows to the next eight.</param>
    /// <param name="runs">Columns of the activations.</param>
    /// <param name="to">Sums before and after.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* panel, int width, float* x, long stride, in ColumnRuns runs, in PanelSums to)
    {
        if (width == TSimd.Count)
        {
            EightByOne(panel, width, x, runs, to);
            return;
        }

        for (int first = 0; first < width; first += 2 * TSimd.Count)
        {
            PanelSums some = to.From(0, width, first);
            if (TSimd.Count == 16)
            {
                EightByTwo(panel + first, width, x, stride, runs, some);
            }
            else
            {
                FourByTwo(panel + first, width, x, runs, some);
                FourByTwo(panel + first, width, x + 4, runs, to.From(4, width, first));
            }
        }
    }

    /// <summary>Eight rows by two vectors. Activations of many rows come from the third cache: those of the next run, which begins where no hardware expects it, are asked for while the one before is multiplied.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EightByTwo(float* panel, int width, float* x, long stride, in ColumnRuns runs, in PanelSums to)
    {
        TSimd a0 = TSimd.Zero;
        TSimd a1 = a0;
        TSimd b0 = a0;
        TSimd b1 = a0;
        TSimd c0 = a0;
        TSimd c1 = a0;
        TSimd d0 = a0;
        TSimd d1 = a0;
        TSimd e0 = a0;
        TSimd e1 = a0;
        TSimd f0 = a0;
        TSimd f1 = a0;
        TSimd g0 = a0;
        TSimd g1 = a0;
        TSimd h0 = a0;
        TSimd h1 = a0;
        if (to.Sums != null)
        {
            float* sums = to.Sums;
            a0 = TSimd.Load(sums);
            a1 = TSimd.Load(sums + TSimd.Count);
            b0 = TSimd.Load(sums + width);
            b1 = TSimd.Load(sums + width + TSimd.Count);
            c0 = TSimd.Load(sums + (2 * width));
            c1 = TSimd.Load(sums + (2 * width) + TSimd.Count);
            d0 = TSimd.Load(sums + (3 * width));
            d1 = TSimd.Load(sums + (3 * width) + TSimd.Count);
            e0 = TSimd.Load(sums + (4 * width));
            e1 = TSimd.Load(sums + (4 * width) + TSimd.Count);
            f0 = TSimd.Load(sums + (5 * width));
            f1 = TSimd.Load(sums + (5 * width) + TSimd.Count);
            g0 = TSimd.Load(sums + (6 * width));
            g1 = TSimd.Load(sums + (6 * width) + TSimd.Count);
            h0 = TSimd.Load(sums + (7 * width));
            h1 = TSimd.Load(sums + (7 * width) + TSimd.Count);
        }

        for (int run = 0; run < runs.Count; run++)
        {
            float* at = x + (Batch * (long)runs.Starts[run]);
            float* next = run + 1 < runs.Count ? x + (Batch * (long)runs.Starts[run + 1]) : x + stride + (Batch * (long)runs.Starts[0]);
            for (int i = 0; i < runs.Columns; i++)
            {
                TSimd w0 = TSimd.Load(panel);
                TSimd w1 = TSimd.Load(panel + TSimd.Count);
                Prefetching.Line((byte*)(next + (Batch * (long)i)));
                TSimd value = TSimd.Broadcast(at);
                a0 = TSimd.MultiplyAdd(w0, value, a0);
                a1 = TSimd.MultiplyAdd(w1, value, a1);
                value = TSimd.Broadcast(at + 1);
                b0 = TSimd.MultiplyAdd(w0, value, b0);
                b1 = TSimd.MultiplyAdd(w1, value, b1);
                value = TSimd.Broadcast(at + 2);
                c0 = TSimd.MultiplyAdd(w0, value, c0);
                c1 = TSimd.MultiplyAdd(w1, value, c1);
                value = TSimd.Broadcast(at + 3);
                d0 = TSimd.MultiplyAdd(w0, value, d0);
                d1 = TSimd.MultiplyAdd(w1, value, d1);
                value = TSimd.Broadcast(at + 4);
                e0 = TSimd.MultiplyAdd(w0, value, e0);
                e1 = TSimd.MultiplyAdd(w1, value, e1);
                value = TSimd.Broadcast(at + 5);
                f0 = TSimd.MultiplyAdd(w0, value, f0);
                f1 = TSimd.MultiplyAdd(w1, value, f1);
                value = TSimd.Broadcast(at + 6);
                g0 = TSimd.MultiplyAdd(w0, value, g0);
                g1 = TSimd.MultiplyAdd(w1, value, g1);
                value = TSimd.Broadcast(at + 7);
                h0 = TSimd.MultiplyAdd(w0, value, h0);
                h1 = TSimd.MultiplyAdd(w1, value, h1);
                panel += width;
                at += Batch;
            }
        }

        float* y = to.Y;
        long nextRow = to.Stride;
        TSimd multiplier = TSimd.Create(to.Multiplier);
        TSimd.Store(TSimd.Multiply(a0, multiplier), y);
        TSimd.Store(TSimd.Multiply(a1, multiplier), y + TSimd.Count);
        TSimd.Store(TSimd.Multiply(b0, multiplier), y + nextRow);
        TSimd.Store(TSimd.Multiply(b1, multiplier), y + nextRow + TSimd.Count);
        TSimd.Store(TSimd.Multiply(c0, multiplier), y + (2 * nextRow));
        TSimd.Store(TSimd.Multiply(c1, multiplier), y + (2 * nextRow) + TSimd.Count);
        TSimd.Store(TSimd.Multiply(d0, multiplier), y + (3 * nextRow));
        TSimd.Store(TSimd.Multiply(d1, multiplier), y + (3 * nextRow) + TSimd.Count);
        TSimd.Store(TSimd.Multiply(e0, multiplier), y + (4 * nextRow));
        TSimd.Store(TSimd.Multiply(e1, multiplier), y + (4 * nextRow) + TSimd.Count);
        TSimd.Store(TSimd.Multiply(f0, multiplier), y + (5 * nextRow));
        TSimd.Store(TSimd.Multiply(f1, multiplier), y + (5 * nextRow) + TSimd.Count);
        TSimd.Store(TSimd.Multiply(g0, multiplier), y + (6 * nextRow));
        TSimd.Store(TSimd.Multiply(g1, multiplier), y + (6 * nextRow) + TSimd.Count);
        TSimd.Store(TSimd.Multiply(h0, multiplier), y + (7 * nextRow));
        TSimd.Store(TSimd.Multiply(h1, multiplier), y + (7 * nextRow) + TSimd.Count);

        for (int r = 0; to.Bias != null && r < 8; r++)
        {
            TSimd.Store(TSimd.Add(TSimd.Load(y), TSimd.Load(to.Bias)), y);
            TSimd.Store(TSimd.Add(TSimd.Load(y + TSimd.Count), TSimd.Load(to.Bias + TSimd.Count)), y + TSimd.Count);
            y += nextRow;
        }
    }

    /// <summary>Eight rows by one vector.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EightByOne(float* panel, int width, float* x, in ColumnRuns runs, in PanelSums to)
    {
        TSimd a0 = TSimd.Zero;
        TSimd b0 = a0;
        TSimd c0 = a0;
        TSimd d0 = a0;
        TSimd e0 = a0;
        TSimd f0 = a0;
        TSimd g0 = a0;
        TSimd h0 = a0;
        if (to.Sums != null)
        {
            float* sums = to.Sums;
            a0 = TSimd.Load(sums);
            b0 = TSimd.Load(sums + width);
            c0 = TSimd.Load(sums + (2 * width));
            d0 = TSimd.Load(sums + (3 * width));
            e0 = TSimd.Load(sums + (4 * width));
            f0 = TSimd.Load(sums + (5 * width));
            g0 = TSimd.Load(sums + (6 * width));
            h0 = TSimd.Load(sums + (7 * width));
        }

        for (int run = 0; run < runs.Count; run++)
        {
            float* at = x + (Batch * (long)runs.Starts[run]);
            for (int i = 0; i < runs.Columns; i++)
            {
                TSimd w0 = TSimd.Load(panel);
                TSimd value = TSimd.Broadcast(at);
                a0 = TSimd.MultiplyAdd(w0, value, a0);
                value = TSimd.Broadcast(at + 1);
                b0 = TSimd.MultiplyAdd(w0, value, b0);
                value = TSimd.Broadcast(at + 2);
                c0 = TSimd.MultiplyAdd(w0, value, c0);
                value = TSimd.Broadcast(at + 3);
                d0 = TSimd.MultiplyAdd(w0, value, d0);
                value = TSimd.Broadcast(at + 4);
                e0 = TSimd.MultiplyAdd(w0, value, e0);
                value = TSimd.Broadcast(at + 5);
                f0 = TSimd.MultiplyAdd(w0, value, f0);
                value = TSimd.Broadcast(at + 6);
                g0 = TSimd.MultiplyAdd(w0, value, g0);
                value = TSimd.Broadcast(at + 7);
                h0 = TSimd.MultiplyAdd(w0, value, h0);
                panel += width;
                at += Batch;
            }
        }

        float* y = to.Y;
        long nextRow = to.Stride;
        TSimd multiplier = TSimd.Create(to.Multiplier);
        TSimd.Store(TSimd.Multiply(a0, multiplier), y);
        TSimd.Store(TSimd.Multiply(b0, multiplier), y + nextRow);
        TSimd.Store(TSimd.Multiply(c0, multiplier), y + (2 * nextRow));
        TSimd.Store(TSimd.Multiply(d0, multiplier), y + (3 * nextRow));
        TSimd.Store(TSimd.Multiply(e0, multiplier), y + (4 * nextRow));
        TSimd.Store(TSimd.Multiply(f0, multiplier), y + (5 * nextRow));
        TSimd.Store(TSimd.Multiply(g0, multiplier), y + (6 * nextRow));
        TSimd.Store(TSimd.Multiply(h0, multiplier), y + (7 * nextRow));

        for (int r = 0; to.Bias != null && r < 8; r++)
        {
            TSimd.Store(TSimd.Add(TSimd.Load(y), TSimd.Load(to.Bias)), y);
            y += nextRow;
        }
    }

    /// <summary>Four rows by two vectors.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void FourByTwo(float* panel, int width, float* x, in ColumnRuns runs, in PanelSums to)
    {
        TSimd a0 = TSimd.Zero;
        TSimd a1 = a0;
        TSimd b0 = a0;
        TSimd b1 = a0;
        TSimd c0 = a0;
        TSimd c1 = a0;
        TSimd d0 = a0;
        TSimd d1 = a0;
        if (to.Sums != null)
        {
            float* sums = to.Sums;
            a0 = TSimd.Load(sums);
            a1 = TSimd.Load(sums + TSimd.Count);
            b0 = TSimd.Load(sums + width);
            b1 = TSimd.Load(sums + width + TSimd.Count);
            c0 = TSimd.Load(sums + (2 * width));
            c1 = TSimd.Load(sums + (2 * width) + TSimd.Count);
            d0 = TSimd.Load(sums + (3 * width));
            d1 = TSimd.Load(sums + (3 * width) + TSimd.Count);
        }

        for (int run = 0; run < runs.Count; run++)
        {
            float* at = x + (Batch * (long)runs.Starts[run]);
            for (int i = 0; i < runs.Columns; i++)
            {
                TSimd w0 = TSimd.Load(panel);
                TSimd w1 = TSimd.Load(panel + TSimd.Count);
                TSimd value = TSimd.Broadcast(at);
                a0 = TSimd.MultiplyAdd(w0, value, a0);
                a1 = TSimd.MultiplyAdd(w1, value, a1);
                value = TSimd.Broadcast(at + 1);
                b0 = TSimd.MultiplyAdd(w0, value, b0);
                b1 = TSimd.MultiplyAdd(w1, value, b1);
                value = TSimd.Broadcast(at + 2);
                c0 = TSimd.MultiplyAdd(w0, value, c0);
                c1 = TSimd.MultiplyAdd(w1, value, c1);
                value = TSimd.Broadcast(at + 3);
                d0 = TSimd.MultiplyAdd(w0, value, d0);
                d1 = TSimd.MultiplyAdd(w1, value, d1);
                panel += width;
                at += Batch;
            }
        }

        float* y = to.Y;
        long nextRow = to.Stride;
        TSimd multiplier = TSimd.Create(to.Multiplier);
        TSimd.Store(TSimd.Multiply(a0, multiplier), y);
        TSimd.Store(TSimd.Multiply(a1, multiplier), y + TSimd.Count);
        TSimd.Store(TSimd.Multiply(b0, multiplier), y + nextRow);
        TSimd.Store(TSimd.Multiply(b1, multiplier), y + nextRow + TSimd.Count);
        TSimd.Store(TSimd.Multiply(c0, multiplier), y + (2 * nextRow));
        TSimd.Store(TSimd.Multiply(c1, multiplier), y + (2 * nextRow) + TSimd.Count);
        TSimd.Store(TSimd.Multiply(d0, multiplier), y + (3 * nextRow));
        TSimd.Store(TSimd.Multiply(d1, multiplier), y + (3 * nextRow) + TSimd.Count);

        for (int r = 0; to.Bias != null && r < 4; r++)
        {
            TSimd.Store(TSimd.Add(TSimd.Load(y), TSimd.Load(to.Bias)), y);
            TSimd.Store(TSimd.Add(TSimd.Load(y + TSimd.Count), TSimd.Load(to.Bias + TSimd.Count)), y + TSimd.Count);
            y += nextRow;
        }
    }
}
