using System.Runtime.ExceptionServices;

namespace ModelPack.Pack;

/// <summary>Runs independent tiles on several threads.</summary>
internal static class ParallelTiles
{
    /// <summary>Calls <paramref name="body"/> for 0 .. <paramref name="count"/> - 1. An exception of a tile is thrown as it is.</summary>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static void Run(long count, int threads, Action<long> body, CancellationToken cancellation)
    {
        if (threads <= 1 || count <= 1)
        {
            for (long tile = 0; tile < count; tile++)
            {
                cancellation.ThrowIfCancellationRequested();
                body(tile);
            }

            return;
        }

        try
        {
            Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = cancellation }, body);
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Capture(e.InnerExceptions[0]).Throw();
        }
    }
}
