using System.Diagnostics;
using System.Runtime.ExceptionServices;
using ModelPack.Kernels;

namespace ModelPack.Toolchain;

/// <summary>
/// Threads to time kernels with. As those of ONNX Runtime do, they wait actively for some time, so that what is timed is not their awakening: with the thread pool of .NET a product of 2.5 ms on two threads took 0.2 to 0.4 ms longer
/// (AMD EPYC, family 26 model 2, two virtual cores, 2026-11-30). Threads that have just begun or slept may share a core for a while, and are given work of no use until they do not. One piece of work at a time; others wait
/// for their turn.
/// </summary>
internal sealed class ThreadTeam
{
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(5);

    /// <summary>Most time until threads have cores of their own: on a busy machine they may never have.</summary>
    private static readonly TimeSpan Spreading = TimeSpan.FromMilliseconds(300);

    /// <summary>Of what a thread does meanwhile, 0.1 to 0.3 ms.</summary>
    private const int SpreadingSteps = 1 << 16;

    private static readonly ThreadTeam Shared = new();

    private readonly Lock _turn = new();
    private readonly object _awaken = new();
    private readonly List<Thread> _threads = [];
    private Action<int> _work = _ => { };
    private ExceptionDispatchInfo? _failure;
    private int _members;
    private int _round;
    private int _busy;
    private long _last;

    /// <summary>Calls for every number below <paramref name="threads"/> at once, 0 on the calling thread.</summary>
    /// <param name="threads">At least one.</param>
    /// <param name="work">What to do; what it throws first is thrown here, when all are done.</param>
    public static void Run(int threads, Action<int> work)
    {
        lock (Shared._turn)
        {
            if (threads > 1 && Stopwatch.GetElapsedTime(Shared._last) > Patience)
            {
                Shared.Spread(threads);
            }

            Shared.Round(threads, work);
            Shared._last = Stopwatch.GetTimestamp();
        }
    }

    /// <summary>Until all threads together take hardly longer than one of them, three times in a row.</summary>
    private void Spread(int threads)
    {
        static void Work(int number) => PeakArithmetic.Run(KernelTiers.Current, SpreadingSteps);
        long start = Stopwatch.GetTimestamp();
        for (int good = 0; good < 3 && Stopwatch.GetElapsedTime(start) < Spreading;)
        {
            double alone = KernelBenchmark.Seconds(() => Work(0));
            double all = KernelBenchmark.Seconds(() => Round(threads, Work));
            good = all < 1.4 * alone ? good + 1 : 0;
        }
    }

    private void Round(int threads, Action<int> work)
    {
        while (_threads.Count < threads - 1)
        {
            int number = _threads.Count + 1;
            int seen = _round;
            _threads.Add(new Thread(() => Work(number, seen)) { IsBackground = true, Name = $"kernel benchmark {number}" });
            _threads[^1].Start();
        }

        (_work, _members, _failure) = (work, threads, null);
        Volatile.Write(ref _busy, _threads.Count);
        lock (_awaken)
        {
            Volatile.Write(ref _round, _round + 1);
            Monitor.PulseAll(_awaken);
        }

        Do(0);
        for (int turn = 0; Volatile.Read(ref _busy) > 0; turn++)
        {
            Pause(turn);
        }

        _failure?.Throw();
    }

    /// <summary>Leaves the core to others now and then: who is waited for may have been put on the same one, and would get it after milliseconds only.</summary>
    private static void Pause(int turn)
    {
        if ((turn & 1023) == 1023)
        {
            _ = Thread.Yield();
        }
        else
        {
            Thread.SpinWait(1);
        }
    }

    private void Do(int number)
    {
        try
        {
            _work(number);
        }
        catch (Exception e)
        {
            _ = Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(e), null);
        }
    }

    private void Work(int number, int seen)
    {
        while (true)
        {
            Await(seen);
            seen = _round;
            if (number < _members)
            {
                Do(number);
            }

            _ = Interlocked.Decrement(ref _busy);
        }
    }

    private void Await(int seen)
    {
        long start = Stopwatch.GetTimestamp();
        for (int turn = 0; Volatile.Read(ref _round) == seen; turn++)
        {
            if (Stopwatch.GetElapsedTime(start) < Patience)
            {
                Pause(turn);
                continue;
            }

            lock (_awaken)
            {
                while (_round == seen)
                {
                    _ = Monitor.Wait(_awaken);
                }
            }
        }
    }
}
