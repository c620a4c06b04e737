namespace ModelPack.Numbers;

/// <summary>How much work <see cref="Clusters"/> may do.</summary>
/// <param name="Exact">Up to so many points the optimum is found.</param>
/// <param name="Ranges">More points are merged into so many ranges, whose optimum is where the improvement starts; 0: it starts from <see cref="Companding"/>.</param>
/// <param name="Rounds">Of <see cref="ClusterWindows"/>, for every distance.</param>
/// <param name="Iterations">Of Lloyd's iteration.</param>
internal readonly record struct ClusterEffort(int Exact, int Ranges, int Rounds, int Iterations)
{
    /// <summary>For the palette of a tensor.</summary>
    public static ClusterEffort Tensor => new(2048, 2048, 0, 300);

    /// <summary>For the palette of a group of rows, of which there may be many.</summary>
    /// <param name="bits">The palette has 2^bits entries.</param>
    /// <param name="crowded">For groups with outliers, whose other values lie in few of the ranges.</param>
    public static ClusterEffort Group(int bits, bool crowded) => !crowded ? new(64, 0, 1, 4) : bits <= 5 ? new(256, 256, 2, 8) : new(256, 0, 1, 8);
}
