using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>How some rows of a weight are encoded: those that meet the same input.</summary>
/// <param name="Algorithm">How codes are chosen.</param>
/// <param name="Refinement">What improves codes and scales afterwards; null for nothing.</param>
internal readonly record struct RowGroup(IPreparedAlgorithm Algorithm, CoordinateDescent? Refinement);

/// <summary>An algorithm prepared for every input of a weight: one, or one for each group of a convolution.</summary>
internal sealed class RowGroups : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    /// <param name="statistics">Of each input.</param>
    /// <param name="algorithm">How codes are chosen.</param>
    /// <param name="options">Of the algorithm.</param>
    /// <param name="rounds">Rounds of refinement.</param>
    /// <param name="context">Threads and cancellation.</param>
    /// <exception cref="ModelPackException">MP2216: the second moments of the only input are not usable.</exception>
    public RowGroups(ActivationStatistics[] statistics, IWeightAlgorithm algorithm, AlgorithmOptions options, int rounds, PassContext context)
    {
        All = new RowGroup[statistics.Length];
        try
        {
            for (int g = 0; g < All.Length; g++)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                All[g] = Prepare(statistics[g], algorithm, options, rounds, context);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>By group.</summary>
    public RowGroup[] All { get; }

    /// <summary>Groups of several whose input says nothing, being always 0: they are rounded to nearest.</summary>
    public int Unused { get; private set; }

    public void Dispose()
    {
        foreach (IDisposable owned in _owned)
        {
            owned.Dispose();
        }
    }

    private RowGroup Prepare(ActivationStatistics statistics, IWeightAlgorithm algorithm, AlgorithmOptions options, int rounds, PassContext context)
    {
        if (All.Length > 1 && MomentMatrix.Mean(MomentMatrix.Diagonal(statistics)) == 0)
        {
            Unused++;
            return new RowGroup(Own(WeightAlgorithms.Nearest.Prepare(null, AlgorithmOptions.None, context.Threads, context.Cancellation)), null);
        }

        IPreparedAlgorithm prepared = Own(algorithm.Prepare(statistics, options, context.Threads, context.Cancellation));
        return new RowGroup(prepared, rounds > 0 ? new CoordinateDescent(new DampedMoments(statistics, options.Damping), rounds) : null);
    }

    private T Own<T>(T disposable)
        where T : IDisposable
    {
        _owned.Add(disposable);
        return disposable;
    }
}
