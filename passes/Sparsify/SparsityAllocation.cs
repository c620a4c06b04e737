namespace ModelPack.Passes;

/// <summary>Shares a budget of dropped weights among layers, so that the sum of their predicted losses is least.</summary>
internal static class SparsityAllocation
{
    private const int GridSteps = 100;

    private const int Bisections = 80;

    /// <summary>Sparsity of every layer.</summary>
    /// <param name="layers">What each loses and how large it is.</param>
    /// <param name="sparsity">Of all together.</param>
    public static double[] Solve(IReadOnlyList<LayerLoss> layers, double sparsity)
    {
        double total = layers.Sum(l => (double)l.Weights);
        double[] low = new double[layers.Count];
        double[] high = [.. layers.Select(l => l.Most)];
        double below = -60;
        double above = 60;
        for (int i = 0; i < Bisections; i++)
        {
            // The price of a weight that stays, in powers of two.
            double middle = (below + above) / 2;
            double[] chosen = [.. layers.Select(l => Choose(l, Math.ScaleB(1, (int)Math.Floor(middle)) * (1 + middle - Math.Floor(middle)) / total))];
            bool enough = Dropped(layers, chosen) >= sparsity * total;
            (below, above) = enough ? (below, middle) : (middle, above);
            (low, high) = enough ? (low, chosen) : (chosen, high);
        }

        double a = Dropped(layers, low);
        double b = Dropped(layers, high);
        double share = b <= a ? 1 : Math.Clamp(((sparsity * total) - a) / (b - a), 0, 1);
        return [.. low.Select((s, i) => s + (share * (high[i] - s)))];
    }

    private static double Dropped(IReadOnlyList<LayerLoss> layers, double[] sparsities)
    {
        double sum = 0;
        for (int i = 0; i < sparsities.Length; i++)
        {
            sum += layers[i].Weights * sparsities[i];
        }

        return sum;
    }

    /// <summary>What is best at a price.</summary>
    private static double Choose(LayerLoss layer, double price)
    {
        double best = 0;
        double least = double.MaxValue;
        for (int i = 0; i <= GridSteps; i++)
        {
            double s = layer.Most * i / GridSteps;
            double value = layer.At(s) - (price * layer.Weights * s);
            if (value < least)
            {
                (least, best) = (value, s);
            }
        }

        return best;
    }
}

/// <summary>What a layer loses by sparsity: straight lines between measured points, from nothing at 0 on.</summary>
/// <param name="Weights">Its size.</param>
/// <param name="Points">Sparsity, ascending, and loss of its own outputs.</param>
/// <param name="Factor">What the model loses, over what the outputs of the layer do.</param>
internal sealed record LayerLoss(long Weights, IReadOnlyList<(double Sparsity, double Loss)> Points, double Factor)
{
    /// <summary>The largest sparsity that was measured.</summary>
    public double Most => Points.Count == 0 ? 0 : Points[^1].Sparsity;

    /// <summary>The loss of the model.</summary>
    public double At(double sparsity)
    {
        (double fromSparsity, double fromLoss) = (0, 0);
        foreach ((double s, double loss) in Points)
        {
            if (sparsity <= s)
            {
                return Factor * (fromLoss + ((loss - fromLoss) * (sparsity - fromSparsity) / Math.Max(1e-9, s - fromSparsity)));
            }

            (fromSparsity, fromLoss) = (s, loss);
        }

        return Factor * fromLoss;
    }
}
