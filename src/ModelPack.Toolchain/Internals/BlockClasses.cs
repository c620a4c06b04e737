namespace ModelPack.Toolchain;

/// <summary>
/// The entropy of symbols whose blocks of 256 belong to classes with a distribution each: k-means in the Kullback-Leibler sense, begun from blocks in the order of their means. For measuring only: it uses
/// floating point and takes its time.
/// </summary>
internal static class BlockClasses
{
    private const int Block = 256;
    private const int MostClasses = 16;
    private const int Rounds = 6;
    private const int TrainingBlocks = 8192;

    /// <summary>Bits of all symbols, of the labels of their blocks and of the tables, with the best number of classes: 1, 2, 4, 8 or 16.</summary>
    public static double Bits(ReadOnlySpan<ushort> symbols, int alphabet)
    {
        // Symbols that occur, numbered densely.
        int[] dense = new int[alphabet];
        Array.Fill(dense, -1);
        int kinds = 0;
        foreach (ushort s in symbols)
        {
            if (dense[s] < 0)
            {
                dense[s] = kinds++;
            }
        }

        double best = double.MaxValue;
        for (int classes = 1; classes <= MostClasses; classes *= 2)
        {
            best = Math.Min(best, BitsWith(symbols, dense, kinds, classes));
        }

        return best;
    }

    private static double BitsWith(ReadOnlySpan<ushort> symbols, int[] dense, int kinds, int classes)
    {
        int blocks = ((symbols.Length - 1) / Block) + 1;
        double[] cost = Train(symbols, dense, kinds, classes, blocks);
        long[] counts = new long[classes * kinds];
        long[] labels = new long[classes];
        int[] histogram = new int[kinds];
        for (int b = 0; b < blocks; b++)
        {
            Count(symbols, b, dense, histogram);
            int label = Nearest(histogram, cost, classes);
            labels[label]++;
            for (int s = 0; s < kinds; s++)
            {
                counts[(label * kinds) + s] += histogram[s];
            }
        }

        double bits = Entropy(labels);
        for (int k = 0; k < classes; k++)
        {
            ReadOnlySpan<long> own = counts.AsSpan(k * kinds, kinds);
            bits += Entropy(own) + (8 * (own.Length - own.Count(0)));
        }

        return bits;
    }

    /// <summary>Costs in bits of every symbol in every class.</summary>
    private static double[] Train(ReadOnlySpan<ushort> symbols, int[] dense, int kinds, int classes, int blocks)
    {
        int step = Math.Max(1, blocks / TrainingBlocks);
        int count = ((blocks - 1) / step) + 1;
        int[][] histograms = new int[count][];
        double[] means = new double[count];
        for (int i = 0; i < count; i++)
        {
            histograms[i] = new int[kinds];
            Count(symbols, i * step, dense, histograms[i]);
            int from = i * step * Block;
            int to = Math.Min(symbols.Length, from + Block);
            foreach (ushort s in symbols[from..to])
            {
                means[i] += s;
            }

            means[i] /= to - from;
        }

        int[] order = [.. Enumerable.Range(0, count)];
        Array.Sort(means, order);
        int[] label = new int[count];
        for (int i = 0; i < count; i++)
        {
            label[order[i]] = (int)((long)i * classes / count);
        }

        double[] cost = [];
        for (int round = 0; round < Rounds; round++)
        {
            cost = Costs(histograms, label, kinds, classes);
            for (int i = 0; i < count && classes > 1; i++)
            {
                label[i] = Nearest(histograms[i], cost, classes);
            }
        }

        return Costs(histograms, label, kinds, classes);
    }

    private static double[] Costs(int[][] histograms, int[] label, int kinds, int classes)
    {
        double[] cost = new double[classes * kinds];
        double[] totals = new double[classes];
        for (int i = 0; i < histograms.Length; i++)
        {
            for (int s = 0; s < kinds; s++)
            {
                cost[(label[i] * kinds) + s] += histograms[i][s];
                totals[label[i]] += histograms[i][s];
            }
        }

        // A twentieth of an occurrence for everything: what a class has not seen costs much, not infinitely much.
        const double unseen = 0.05;
        for (int i = 0; i < cost.Length; i++)
        {
            cost[i] = Math.Log2((totals[i / kinds] + (unseen * kinds)) / (cost[i] + unseen));
        }

        return cost;
    }

    private static int Nearest(int[] histogram, double[] cost, int classes)
    {
        int best = 0;
        double bestBits = double.MaxValue;
        for (int k = 0; k < classes; k++)
        {
            double bits = 0;
            for (int s = 0; s < histogram.Length; s++)
            {
                bits += histogram[s] * cost[(k * histogram.Length) + s];
            }

            if (bits < bestBits)
            {
                (best, bestBits) = (k, bits);
            }
        }

        return best;
    }

    private static void Count(ReadOnlySpan<ushort> symbols, int block, int[] dense, int[] histogram)
    {
        Array.Clear(histogram);
        foreach (ushort s in symbols[(block * Block)..Math.Min(symbols.Length, (block + 1) * Block)])
        {
            histogram[dense[s]]++;
        }
    }

    private static double Entropy(ReadOnlySpan<long> counts)
    {
        long total = 0;
        foreach (long c in counts)
        {
            total += c;
        }

        double bits = 0;
        foreach (long c in counts)
        {
            bits += c == 0 ? 0 : c * Math.Log2((double)total / c);
        }

        return bits;
    }
}
