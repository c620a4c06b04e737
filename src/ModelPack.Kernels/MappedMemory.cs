namespace ModelPack.Kernels;

/// <summary>What can be said to a system about memory that is mapped from a file.</summary>
internal interface IMappedMemory
{
    /// <summary>It will be read soon: reading begins, nobody waits.</summary>
    void AskFor(nint address, long lengthBytes);

    /// <summary>It is not needed: its pages leave the process, the system may forget them.</summary>
    void GiveUp(nint address, long lengthBytes);
}

/// <summary>By <c>madvise</c>; elsewhere the system decides alone.</summary>
internal sealed class MappedMemory : IMappedMemory
{
    private const int WillNeed = 3;

    private const int DontNeed = 4;

    public static MappedMemory Instance { get; } = new();

    public void AskFor(nint address, long lengthBytes) => Advise(address, lengthBytes, WillNeed);

    public void GiveUp(nint address, long lengthBytes) => Advise(address, lengthBytes, DontNeed);

    /// <summary>For the whole pages of a range.</summary>
    private static void Advise(nint address, long lengthBytes, int advice)
    {
        nint page = Environment.SystemPageSize;
        nint first = (address + page - 1) & -page;
        nint end = (address + (nint)lengthBytes) & -page;
        if (end > first)
        {
            _ = MemoryAdvice.Give(first, end - first, advice);
        }
    }
}
