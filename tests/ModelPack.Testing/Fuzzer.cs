using System.Globalization;

namespace ModelPack.Testing;

/// <summary>Runs an action over many damaged copies of some bytes: each must end with success or a <see cref="ModelPackException"/>, in time, in bounded memory.</summary>
public static class Fuzzer
{
    /// <summary>
    /// Calls <paramref name="action"/> with <paramref name="count"/> mutations of <paramref name="original"/>, seeds
    /// <paramref name="firstSeed"/>, <paramref name="firstSeed"/> + 1, ... To repeat one case: the failing seed and a count of 1.
    /// </summary>
    /// <param name="original">Bytes to damage.</param>
    /// <param name="count">Number of cases.</param>
    /// <param name="action">Reads the damaged bytes; may throw <see cref="ModelPackException"/> only.</param>
    /// <param name="timeoutPerCase">Limit for one case; 20 s when not given (machines running tests are busy).</param>
    /// <param name="allocationLimitBytes">Managed bytes one case may allocate on its thread.</param>
    /// <param name="firstSeed">Seed of the first case.</param>
    /// <param name="hotBytes">Half of the damage goes to this many first bytes; 0 for none.</param>
    /// <exception cref="FuzzFailureException">A case crashed, hung, or allocated too much; the text names its seed.</exception>
    public static FuzzReport Fuzz(
        ReadOnlyMemory<byte> original,
        int count,
        Action<byte[]> action,
        TimeSpan? timeoutPerCase = null,
        long allocationLimitBytes = 64 << 20,
        ulong firstSeed = 1,
        int hotBytes = 0)
    {
        TimeSpan timeout = timeoutPerCase ?? TimeSpan.FromSeconds(20);
        var run = new Run(original, count, action, allocationLimitBytes, firstSeed, hotBytes);
        var worker = new Thread(run.Work) { IsBackground = true, Name = "fuzz" };
        worker.Start();
        while (!worker.Join(TimeSpan.FromMilliseconds(50)))
        {
            (int index, long startedMs) = run.Current;
            if (Environment.TickCount64 - startedMs > timeout.TotalMilliseconds && run.Current.Index == index)
            {
                throw run.Fail(index, string.Create(CultureInfo.InvariantCulture, $"did not end within {timeout.TotalSeconds} s"), null);
            }
        }

        return run.Failure is null ? new FuzzReport(run.Accepted, run.Rejected) : throw run.Failure;
    }

    private sealed class Run(ReadOnlyMemory<byte> original, int count, Action<byte[]> action, long allocationLimitBytes, ulong firstSeed, int hotBytes)
    {
        private readonly Lock _lock = new();
        private (int Index, long StartedMs) _current = (0, Environment.TickCount64);

        public (int Index, long StartedMs) Current
        {
            get
            {
                lock (_lock)
                {
                    return _current;
                }
            }
        }

        public FuzzFailureException? Failure { get; private set; }

        public int Accepted { get; private set; }

        public Dictionary<ErrorCode, int> Rejected { get; } = [];

        public void Work()
        {
            for (int i = 0; i < count && Failure is null; i++)
            {
                Mutation mutation = Mutations.Apply(original.Span, firstSeed + (ulong)i, hotBytes);
                lock (_lock)
                {
                    _current = (i, Environment.TickCount64);
                }

                long before = GC.GetAllocatedBytesForCurrentThread();
                try
                {
                    action(mutation.Bytes);
                    Accepted++;
                }
                catch (ModelPackException e)
                {
                    Rejected[e.Code] = Rejected.GetValueOrDefault(e.Code) + 1;
                }
                catch (Exception e)
                {
                    Failure = Fail(i, $"ended with {e.GetType().Name}: {e.Message}", e);
                }

                long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                if (allocated > allocationLimitBytes)
                {
                    Failure ??= Fail(i, string.Create(CultureInfo.InvariantCulture, $"allocated {allocated} bytes, limit {allocationLimitBytes}"), null);
                }
            }
        }

        public FuzzFailureException Fail(int index, string what, Exception? inner)
        {
            Mutation mutation = Mutations.Apply(original.Span, firstSeed + (ulong)index, hotBytes);
            return new FuzzFailureException(string.Create(CultureInfo.InvariantCulture, $"seed {mutation.Seed} ({mutation.Description}; {mutation.Bytes.Length} bytes) {what}"), inner);
        }
    }
}
