namespace ModelPack.Passes;

/// <summary>What one matrix has to say about the order of channels that lie along one of its axes.</summary>
/// <param name="Energies">[channels, units]: what is lost without the weights of a channel, along the other axis summed over the edge of a block, all together 1.</param>
/// <param name="Units">Blocks along the other axis; its length where neighbours are pruned.</param>
/// <param name="Width">Neighbouring channels that are pruned together, or among which some are.</param>
/// <param name="Kept">Of <paramref name="Width"/> neighbours; 0 for blocks.</param>
/// <param name="Sparsity">Share of the blocks that is dropped.</param>
internal sealed record ChannelView(float[] Energies, int Units, int Width, int Kept, double Sparsity);

/// <summary>
/// An order of channels in which blocks, or N of every M neighbours, hold more of what counts: channels that matter in the same places come together.
/// Blocks: begins with the channels by what they are worth; then blocks are chosen for the groups, and channels are given to the groups whose chosen blocks hold most of them (greedily, then by exchanging pairs), as long as that gains.
/// N:M: exchanges of two channels of different groups, as long as they gain (Pool and Yu, "Channel permutations for N:M sparsity", 2021).
/// </summary>
/// <param name="views">The matrices.</param>
/// <param name="channels">Number of channels.</param>
/// <param name="classSize">Channels stay among so many neighbours.</param>
/// <param name="cancellation">Stops.</param>
internal sealed class ChannelGrouping(IReadOnlyList<ChannelView> views, int channels, int classSize, CancellationToken cancellation)
{
    private const int Rounds = 20;
    private const int Passes = 4;

    /// <summary>Additions of a round, some seconds, beyond which channels are ordered by what they are worth and no further, or for N:M not at all.</summary>
    private const double MostWork = 2e9;

    private readonly int _width = views.Max(v => v.Width);

    /// <summary>The best order that was found: at i the channel that goes there. Where nothing gains, the one there is.</summary>
    public int[] Run()
    {
        int[] best = [.. Enumerable.Range(0, channels)];
        if (views.All(v => v.Kept > 0))
        {
            return Exchange(best);
        }

        double kept = Kept(best);
        foreach (int[] start in new[] { ByWorth(), best })
        {
            (int[] order, double reached) = Refine(start);
            if (reached > kept * (1 + 1e-9))
            {
                (best, kept) = (order, reached);
            }
        }

        return best;
    }

    /// <summary>What the best blocks, or the best of all neighbours, hold of all that counts, summed over the matrices.</summary>
    public double Kept(int[] order)
    {
        double sum = 0;
        foreach (ChannelView view in views)
        {
            if (view.Kept > 0)
            {
                for (int first = 0; first < channels; first += view.Width)
                {
                    sum += KeptNeighbours(view, order.AsSpan(first, Math.Min(view.Width, channels - first)));
                }

                continue;
            }

            float[] blocks = Blocks(view, order);
            Array.Sort(blocks);
            for (int i = blocks.Length - KeptBlocks(view, blocks.Length); i < blocks.Length; i++)
            {
                sum += blocks[i];
            }
        }

        return sum;
    }

    private static int KeptBlocks(ChannelView view, int blocks) => (int)Math.Round(blocks * (1 - view.Sparsity), MidpointRounding.AwayFromZero);

    /// <summary>[groups, units] of a matrix.</summary>
    private float[] Blocks(ChannelView view, int[] order)
    {
        float[] blocks = new float[(((channels - 1) / view.Width) + 1) * view.Units];
        for (int i = 0; i < channels; i++)
        {
            Span<float> group = blocks.AsSpan(i / view.Width * view.Units, view.Units);
            ReadOnlySpan<float> channel = view.Energies.AsSpan(order[i] * view.Units, view.Units);
            for (int u = 0; u < group.Length; u++)
            {
                group[u] += channel[u];
            }
        }

        return blocks;
    }

    /// <summary>Channels of a class by what they are worth, the most first.</summary>
    private int[] ByWorth()
    {
        double[] worth = Worth();
        return [.. Enumerable.Range(0, channels).OrderBy(c => c / classSize).ThenByDescending(c => worth[c]).ThenBy(c => c)];
    }

    private double[] Worth()
    {
        double[] worth = new double[channels];
        foreach (ChannelView view in views)
        {
            for (int c = 0; c < channels; c++)
            {
                foreach (float energy in view.Energies.AsSpan(c * view.Units, view.Units))
                {
                    worth[c] += energy;
                }
            }
        }

        return worth;
    }

    private (int[] Order, double Kept) Refine(int[] order)
    {
        double kept = Kept(order);
        int groups = ((channels - 1) / _width) + 1;
        bool tooMuch = (double)channels * groups * views.Sum(v => (double)v.Units) > MostWork || views.Any(v => v.Width != _width || v.Kept > 0);
        for (int round = 0; round < Rounds && !tooMuch && groups > 1; round++)
        {
            cancellation.ThrowIfCancellationRequested();
            int[] next = Assign(Gains(order, groups), order, groups);
            double reached = Kept(next);
            if (reached <= kept * (1 + 1e-9))
            {
                break;
            }

            (order, kept) = (next, reached);
        }

        return (order, kept);
    }

    /// <summary>[channels, groups]: what of a channel the chosen blocks of a group would hold.</summary>
    private float[] Gains(int[] order, int groups)
    {
        float[] gains = new float[channels * groups];
        foreach (ChannelView view in views)
        {
            float[] blocks = Blocks(view, order);
            int[] ranked = [.. Enumerable.Range(0, blocks.Length)];
            Array.Sort(ranked, (a, b) => blocks[b].CompareTo(blocks[a]) is int by and not 0 ? by : a.CompareTo(b));
            float[] chosen = new float[blocks.Length];
            foreach (int block in ranked.AsSpan(0, KeptBlocks(view, blocks.Length)))
            {
                chosen[block] = 1;
            }

            for (int c = 0; c < channels; c++)
            {
                ReadOnlySpan<float> channel = view.Energies.AsSpan(c * view.Units, view.Units);
                for (int g = 0; g < groups; g++)
                {
                    ReadOnlySpan<float> mask = chosen.AsSpan(g * view.Units, view.Units);
                    float sum = 0;
                    for (int u = 0; u < mask.Length; u++)
                    {
                        sum += mask[u] * channel[u];
                    }

                    gains[(c * groups) + g] += sum;
                }
            }
        }

        return gains;
    }

    /// <summary>Gives every channel a place in a group: those first to whom it matters most; then pairs change places where both together gain.</summary>
    private int[] Assign(float[] gains, int[] before, int groups)
    {
        int[] free = new int[groups];
        int[] group = new int[channels];
        float Gain(int c, int g) => gains[(c * groups) + g];
        double[] matters = new double[channels];
        for (int c = 0; c < channels; c++)
        {
            ReadOnlySpan<float> own = gains.AsSpan(c * groups, groups);
            float most = float.MinValue;
            double mean = 0;
            foreach (float gain in own)
            {
                most = Math.Max(most, gain);
                mean += gain;
            }

            matters[c] = most - (mean / groups);
        }

        for (int first = 0; first < channels; first += classSize)
        {
            int size = Math.Min(classSize, channels - first);
            for (int p = first; p < first + size; p++)
            {
                free[p / _width]++;
            }

            int from = first / _width;
            int to = (first + size - 1) / _width;
            foreach (int c in before.Skip(first).Take(size).OrderByDescending(c => matters[c]).ThenBy(c => c))
            {
                int best = -1;
                for (int g = from; g <= to; g++)
                {
                    if (free[g] > 0 && (best < 0 || Gain(c, g) > Gain(c, best)))
                    {
                        best = g;
                    }
                }

                free[best]--;
                group[c] = best;
            }

            int[] members = [.. before.AsSpan(first, size)];
            Array.Sort(members);
            bool changed = true;
            for (int pass = 0; pass < Passes && changed; pass++)
            {
                changed = false;
                for (int i = 0; i < members.Length; i++)
                {
                    for (int j = i + 1; j < members.Length; j++)
                    {
                        (int a, int b) = (members[i], members[j]);
                        if (group[a] != group[b] && Gain(a, group[b]) + Gain(b, group[a]) > (Gain(a, group[a]) + Gain(b, group[b])) * 1.000001f)
                        {
                            (group[a], group[b]) = (group[b], group[a]);
                            changed = true;
                        }
                    }
                }
            }
        }

        double[] worth = Worth();
        return [.. Enumerable.Range(0, channels).OrderBy(c => c / classSize).ThenBy(c => group[c]).ThenByDescending(c => worth[c]).ThenBy(c => c)];
    }

    private int[] Exchange(int[] order)
    {
        // Larger groups have little of more than their share.
        const int largest = 8;
        double work = (double)channels * Math.Min(channels, classSize) * views.Sum(v => (double)v.Units) * _width;
        if (_width > largest || views.Any(v => v.Width != _width) || work > MostWork || classSize % _width != 0)
        {
            return order;
        }

        double[] kept = [.. Enumerable.Range(0, ((channels - 1) / _width) + 1).Select(g => Group(order, g))];
        bool changed = true;
        for (int pass = 0; pass < Passes && changed; pass++)
        {
            changed = false;
            for (int a = 0; a < channels; a++)
            {
                cancellation.ThrowIfCancellationRequested();
                int end = Math.Min(channels, a - (a % classSize) + classSize);
                for (int b = a - (a % _width) + _width; b < end; b++)
                {
                    (int ga, int gb) = (a / _width, b / _width);
                    (order[a], order[b]) = (order[b], order[a]);
                    (double ka, double kb) = (Group(order, ga), Group(order, gb));
                    if (ka + kb > (kept[ga] + kept[gb]) * (1 + 1e-6))
                    {
                        (kept[ga], kept[gb]) = (ka, kb);
                        changed = true;
                    }
                    else
                    {
                        (order[a], order[b]) = (order[b], order[a]);
                    }
                }
            }
        }

        return order;
    }

    private double Group(int[] order, int group)
    {
        ReadOnlySpan<int> members = order.AsSpan(group * _width, Math.Min(_width, channels - (group * _width)));
        double sum = 0;
        foreach (ChannelView view in views)
        {
            sum += KeptNeighbours(view, members);
        }

        return sum;
    }

    /// <summary>What the best N of a group hold in all units.</summary>
    private static double KeptNeighbours(ChannelView view, ReadOnlySpan<int> members)
    {
        Span<float> values = stackalloc float[members.Length];
        double sum = 0;
        for (int u = 0; u < view.Units; u++)
        {
            // The largest first, by insertion.
            for (int i = 0; i < members.Length; i++)
            {
                float value = view.Energies[(members[i] * view.Units) + u];
                int at = i;
                for (; at > 0 && values[at - 1] < value; at--)
                {
                    values[at] = values[at - 1];
                }

                values[at] = value;
            }

            for (int i = 0; i < Math.Min(view.Kept, members.Length); i++)
            {
                sum += values[i];
            }
        }

        return sum;
    }
}
