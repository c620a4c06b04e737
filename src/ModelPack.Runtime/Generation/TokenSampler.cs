using ModelPack.Runtime.Evaluation;

namespace ModelPack.Runtime.Generation;

/// <summary>Chooses the next token by its logits: temperature first, then top-k, then top-p.</summary>
/// <param name="options">How.</param>
/// <param name="path">The model, for messages.</param>
internal sealed class TokenSampler(GenerationOptions options, string path)
{
    private readonly SplitMix64 _random = new(options.Seed);

    /// <param name="logits">One per token of the vocabulary; minus infinity excludes a token.</param>
    /// <exception cref="ModelPackException">MP5034: a logit is not a number or infinite, or all exclude their tokens.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        Check(logits);
        int best = AgreementMeter.IndexOfMax(logits);
        if (options.Temperature == 0 || options.TopK == 1)
        {
            return best;
        }

        int[] candidates = Candidates(logits);
        double[] weights = new double[candidates.Length];
        double sum = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            sum += weights[i] = Math.Exp((logits[candidates[i]] - (double)logits[best]) / options.Temperature);
        }

        return Draw(candidates, weights, sum);
    }

    private void Check(ReadOnlySpan<float> logits)
    {
        bool any = false;
        foreach (float logit in logits)
        {
            if (float.IsNaN(logit) || float.IsPositiveInfinity(logit))
            {
                throw new ModelPackException(ErrorCodes.BadLogits, $"the model gives {(float.IsNaN(logit) ? "NaN" : "infinity")} as a logit", path);
            }

            any |= !float.IsNegativeInfinity(logit);
        }

        if (!any)
        {
            throw new ModelPackException(ErrorCodes.BadLogits, "the model excludes every token", path);
        }
    }

    /// <summary>The tokens to draw from, likeliest first, of equals the lower id; in order of id when all are wanted.</summary>
    private int[] Candidates(ReadOnlySpan<float> logits)
    {
        int count = options.TopK == 0 ? logits.Length : Math.Min(options.TopK, logits.Length);
        if (count == logits.Length && options.TopP == 1)
        {
            return [.. Enumerable.Range(0, count)];
        }

        // The worst of the best is on top of the queue: most tokens are dropped by one comparison with it.
        var kept = new PriorityQueue<int, long>(count);
        for (int id = 0; id < logits.Length; id++)
        {
            long key = -Order(logits[id], id);
            if (kept.Count < count)
            {
                kept.Enqueue(id, key);
            }
            else
            {
                kept.EnqueueDequeue(id, key);
            }
        }

        int[] candidates = new int[count];
        for (int i = count - 1; i >= 0; i--)
        {
            candidates[i] = kept.Dequeue();
        }

        return candidates;
    }

    /// <summary>A number that is smaller for likelier tokens.</summary>
    private static long Order(float logit, int id)
    {
        int bits = BitConverter.SingleToInt32Bits(logit + 0f);
        int ascending = bits >= 0 ? bits : bits ^ int.MaxValue;
        return ((-1L - ascending) << 32) | (uint)id;
    }

    private int Draw(int[] candidates, double[] weights, double sum)
    {
        int count = weights.Length;
        if (options.TopP < 1)
        {
            double nucleus = 0;
            for (count = 0; count < weights.Length && nucleus < options.TopP * sum; count++)
            {
                nucleus += weights[count];
            }

            sum = nucleus;
        }

        double at = _random.Unit() * sum;
        for (int i = 0; i < count; i++)
        {
            at -= weights[i];
            if (at < 0)
            {
                return candidates[i];
            }
        }

        return candidates[Array.FindLastIndex(weights, count - 1, w => w > 0)]; // Rounding left something over.
    }
}
