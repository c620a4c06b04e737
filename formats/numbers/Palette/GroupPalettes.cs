using System.Buffers;

namespace ModelPack.Numbers;

/// <summary>Chooses the palettes of groups of rows, one after the other.</summary>
internal sealed class GroupPalettes : IDisposable
{
    private readonly ClusterEffort _effort;
    private readonly PaletteGrid _grid;
    private readonly PaletteChooser _chooser;
    private readonly double[] _points;
    private readonly double[] _weights;
    private readonly double[] _centres;

    /// <param name="bits">Palettes have 2^bits entries.</param>
    /// <param name="count">Values of a group.</param>
    public GroupPalettes(int bits, int count)
    {
        _effort = ClusterEffort.Group(bits, crowded: false);
        _grid = new PaletteGrid(bits);
        _chooser = new PaletteChooser(bits, count, ClusterEffort.Group(bits, crowded: true));
        _points = ArrayPool<double>.Shared.Rent(_grid.MaxPoints);
        _weights = ArrayPool<double>.Shared.Rent(_grid.MaxPoints);
        _centres = ArrayPool<double>.Shared.Rent(1 << bits);
    }

    /// <summary>The 2^bits entries for the finite values of a group, ascending.</summary>
    public void Choose(ReadOnlySpan<float> values, Span<float> palette)
    {
        int count = _grid.Fill(values, _points, _weights);
        if (count == 0)
        {
            _chooser.Clear();
            _chooser.Add(values);
            _chooser.Choose(palette);
            return;
        }

        Span<double> centres = _centres.AsSpan(0, palette.Length);
        Clusters.Solve(_points.AsSpan(0, count), _weights.AsSpan(0, count), _effort, centres);
        for (int i = 0; i < palette.Length; i++)
        {
            palette[i] = (float)centres[i];
        }
    }

    public void Dispose()
    {
        _grid.Dispose();
        _chooser.Dispose();
        ArrayPool<double>.Shared.Return(_points);
        ArrayPool<double>.Shared.Return(_weights);
        ArrayPool<double>.Shared.Return(_centres);
    }
}
