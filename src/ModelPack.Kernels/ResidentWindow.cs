namespace ModelPack.Kernels;

/// <summary>
/// Keeps the weights of a model that are mapped from a file within a budget of memory. Weights are used in the same order in every run; so the first of them, as many as the budget allows, stay, and the others pass through
/// the rest of it: the next ones are asked for while one is used, and each is given up when the next is. (The least recently used ones would be the wrong ones to give up: of a cycle longer than the budget nothing would stay.)
/// Giving up memory of a file loses nothing, whoever still reads it: it is read again.
/// </summary>
public sealed class ResidentWindow
{
    /// <summary>Weights that are asked for ahead of the one in use.</summary>
    private const int Ahead = 2;

    [ThreadStatic]
    private static ResidentWindow? t_current;

    private readonly Lock _lock = new();
    private readonly List<Region> _regions = [];
    private readonly IMappedMemory _memory;
    private int[]? _streamed;
    private int _last = -1;

    /// <param name="budgetBytes">Memory for weights; the largest three pass through it even where it is less.</param>
    public ResidentWindow(long budgetBytes)
        : this(budgetBytes, MappedMemory.Instance)
    {
    }

    internal ResidentWindow(long budgetBytes, IMappedMemory memory)
    {
        BudgetBytes = budgetBytes;
        _memory = memory;
    }

    /// <summary>Of the model that the calling thread is opening: kernels that are made meanwhile register their weights there.</summary>
    public static ResidentWindow? Current
    {
        get => t_current;
        set => t_current = value;
    }

    /// <summary>Memory for weights.</summary>
    public long BudgetBytes { get; }

    /// <summary>Bytes of all weights.</summary>
    public long WeightBytes { get; private set; }

    /// <summary>Bytes that are read again in every run.</summary>
    public long StreamedBytes
    {
        get
        {
            lock (_lock)
            {
                return Plan().Sum(i => _regions[i].LengthBytes);
            }
        }
    }

    /// <summary>Adds a weight, in the order in which they are used.</summary>
    /// <param name="address">Start of memory that is mapped from a file and never written.</param>
    /// <param name="lengthBytes">Its length.</param>
    /// <returns>Its number, for <see cref="Use"/>.</returns>
    public int Add(nint address, long lengthBytes)
    {
        lock (_lock)
        {
            _regions.Add(new Region(address, lengthBytes));
            WeightBytes += lengthBytes;
            _streamed = null;
            return _regions.Count - 1;
        }
    }

    /// <summary>To be called before a weight is read.</summary>
    public void Use(int number)
    {
        lock (_lock)
        {
            int[] streamed = Plan();
            int place = Array.BinarySearch(streamed, number);
            if (place < 0)
            {
                return;
            }

            if (_last >= 0 && _last != number)
            {
                _memory.GiveUp(_regions[_last].Address, _regions[_last].LengthBytes);
            }

            _last = number;
            for (int i = 1; i <= Math.Min(Ahead, streamed.Length - 1); i++)
            {
                Region next = _regions[streamed[(place + i) % streamed.Length]];
                _memory.AskFor(next.Address, next.LengthBytes);
            }
        }
    }

    /// <summary>Numbers of the weights that do not stay, ascending.</summary>
    private int[] Plan()
    {
        if (_streamed is not null)
        {
            return _streamed;
        }

        long stay = BudgetBytes;
        if (WeightBytes > BudgetBytes)
        {
            stay -= _regions.Select(r => r.LengthBytes).OrderDescending().Take(Ahead + 1).Sum();
        }

        var streamed = new List<int>();
        for (int i = 0; i < _regions.Count; i++)
        {
            if (_regions[i].LengthBytes <= stay)
            {
                stay -= _regions[i].LengthBytes;
            }
            else
            {
                streamed.Add(i);
            }
        }

        return _streamed = [.. streamed];
    }

    private readonly record struct Region(nint Address, long LengthBytes);
}
