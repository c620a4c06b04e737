namespace ModelPack.Passes;

/// <summary>What a layer can become: parameters and loss of each choice.</summary>
/// <param name="Parameters">Of each choice.</param>
/// <param name="Losses">Of each choice, in the same unit for all layers.</param>
internal sealed record RankChoices(long[] Parameters, double[] Losses);

/// <summary>Shares a budget of parameters among layers, so that the sum of their predicted losses is least (Lagrangian relaxation; what is left over goes where it helps most).</summary>
internal static class RankAllocation
{
    private const int Bisections = 100;

    /// <summary>A choice for every layer; null when even the smallest choices are more than the budget.</summary>
    public static int[]? Solve(IReadOnlyList<RankChoices> layers, long budget)
    {
        if (layers.Sum(l => l.Parameters.Min()) > budget)
        {
            return null;
        }

        int[] best = [.. layers.Select(l => Array.IndexOf(l.Parameters, l.Parameters.Min()))];
        double below = -120;
        double above = 60;
        for (int i = 0; i < Bisections; i++)
        {
            // The price of a parameter, in powers of two.
            double middle = (below + above) / 2;
            double price = Math.ScaleB(1 + middle - Math.Floor(middle), (int)Math.Floor(middle));
            int[] chosen = [.. layers.Select(l => Cheapest(l, price))];
            if (Total(layers, chosen) <= budget)
            {
                (best, above) = (chosen, middle);
            }
            else
            {
                below = middle;
            }
        }

        Fill(layers, best, budget - Total(layers, best));
        return best;
    }

    /// <summary>Parameters of a choice for every layer.</summary>
    public static long Total(IReadOnlyList<RankChoices> layers, int[] chosen) => layers.Select((l, i) => l.Parameters[chosen[i]]).Sum();

    private static int Cheapest(RankChoices layer, double price)
    {
        int best = 0;
        double least = double.MaxValue;
        for (int i = 0; i < layer.Parameters.Length; i++)
        {
            double value = layer.Losses[i] + (price * layer.Parameters[i]);
            if (value < least)
            {
                (least, best) = (value, i);
            }
        }

        return best;
    }

    /// <summary>Spends what is left, each time where a parameter saves most.</summary>
    private static void Fill(IReadOnlyList<RankChoices> layers, int[] chosen, long left)
    {
        while (true)
        {
            (int Layer, int Choice) next = (-1, 0);
            double most = 0;
            for (int l = 0; l < layers.Count; l++)
            {
                for (int i = 0; i < layers[l].Parameters.Length; i++)
                {
                    long more = layers[l].Parameters[i] - layers[l].Parameters[chosen[l]];
                    double gain = (layers[l].Losses[chosen[l]] - layers[l].Losses[i]) / Math.Max(1, more);
                    if (more > 0 && more <= left && gain > most)
                    {
                        (next, most) = ((l, i), gain);
                    }
                }
            }

            if (next.Layer < 0)
            {
                return;
            }

            left -= layers[next.Layer].Parameters[next.Choice] - layers[next.Layer].Parameters[chosen[next.Layer]];
            chosen[next.Layer] = next.Choice;
        }
    }
}
