namespace ModelPack.Structures;

/// <summary>
/// Reads rows of a matrix product operator. For a row with digits o_1 ... o_n the cores' slices are multiplied from the first on; what the digits that rows share with the row before have given is kept within a tile. The cores, which are
/// what is stored, are held as f32.
/// </summary>
internal sealed class MpoReader(Shape shape, MpoShape mpo, IReadOnlyList<IValueReader> components) : IValueReader
{
    private readonly Lazy<float[][]> _cores = new(() => [.. components.Select((c, k) => Load(mpo, c, k))]);

    public Shape Shape => shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        if (firstRow < 0 || rows < 0 || rows > shape[0] - firstRow)
        {
            throw new ArgumentOutOfRangeException(nameof(firstRow), $"rows {firstRow}+{rows} are outside {shape}");
        }

        int columns = checked((int)shape[1]);
        float[][] cores = _cores.Value;

        // State after site k: [i_1 ... i_k, r_k].
        float[][] states = [.. Enumerable.Range(0, mpo.Sites).Select(k => new float[checked((int)(MpoShape.Product(mpo.Columns.AsSpan(0, k + 1)) * mpo.After(k)))])];
        int[] digits = [.. Enumerable.Repeat(-1, mpo.Sites)];
        for (int row = 0; row < rows; row++)
        {
            long rest = firstRow + row;
            int changed = mpo.Sites;
            for (int k = mpo.Sites - 1; k >= 0; k--)
            {
                int digit = (int)(rest % mpo.Rows[k]);
                rest /= mpo.Rows[k];
                changed = digit == digits[k] ? changed : k;
                digits[k] = digit;
            }

            for (int k = changed; k < mpo.Sites; k++)
            {
                int depth = mpo.Before(k);
                int width = mpo.Columns[k] * mpo.After(k);
                ReadOnlySpan<float> before = k == 0 ? [1f] : states[k - 1];
                states[k].AsSpan().Clear();
                ProductKernel.Add(before, depth, cores[k].AsSpan(digits[k] * depth * width), width, states[k], before.Length / depth, depth, width);
            }

            states[^1].AsSpan(0, columns).CopyTo(destination[(row * columns)..]);
        }
    }

    /// <summary>A core as [o_k, r_{k-1}, i_k, r_k].</summary>
    private static float[] Load(MpoShape mpo, IValueReader reader, int site)
    {
        int o = mpo.Rows[site];
        int i = mpo.Columns[site];
        int before = mpo.Before(site);
        int after = mpo.After(site);
        float[] stored = new float[reader.Shape.ElementCount];
        reader.ReadRows(0, o * after, stored);
        float[] core = new float[stored.Length];
        for (int row = 0; row < o * after; row++)
        {
            for (int column = 0; column < before * i; column++)
            {
                core[((((row / after) * before * i) + column) * after) + (row % after)] = stored[(row * before * i) + column];
            }
        }

        return core;
    }
}
