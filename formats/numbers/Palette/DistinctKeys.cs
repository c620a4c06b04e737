namespace ModelPack.Numbers;

/// <summary>A set of at most a given number of keys; one more, and it is full for good.</summary>
internal sealed class DistinctKeys(int capacity)
{
    /// <summary>The key of a NaN: never a value's.</summary>
    private const int Free = int.MinValue;

    private readonly int[] _slots = NewSlots();
    private int _last = Free;

    public int Count { get; private set; }

    /// <summary>True once there were more keys than fit.</summary>
    public bool IsFull { get; private set; } = capacity == 0;

    public void Add(int key)
    {
        if (key == _last || IsFull)
        {
            return;
        }

        _last = key;
        int slot = (int)((uint)key * 0x9E3779B1 >> 22);
        while (_slots[slot] != Free && _slots[slot] != key)
        {
            slot = (slot + 1) & (_slots.Length - 1);
        }

        if (_slots[slot] == key)
        {
            return;
        }

        if (Count == capacity)
        {
            IsFull = true;
            return;
        }

        _slots[slot] = key;
        Count++;
    }

    /// <summary>The keys in no order.</summary>
    public void CopyTo(Span<int> keys)
    {
        int count = 0;
        foreach (int key in _slots)
        {
            if (key != Free)
            {
                keys[count++] = key;
            }
        }
    }

    public void Clear()
    {
        _slots.AsSpan().Fill(Free);
        _last = Free;
        Count = 0;
        IsFull = capacity == 0;
    }

    private static int[] NewSlots()
    {
        int[] slots = new int[1024];
        slots.AsSpan().Fill(Free);
        return slots;
    }
}
