namespace ModelPack.Structures;

/// <summary>Reads filters of decomposed convolution kernels. The factors, which are what is stored, are held as f32.</summary>
/// <param name="shape">[O, I K].</param>
/// <param name="sizes">Sizes.</param>
/// <param name="isCp">CP, not Tucker-2.</param>
/// <param name="components">Outputs, kernels, inputs.</param>
internal sealed class ConvolutionFactorsReader(Shape shape, ConvolutionSizes sizes, bool isCp, IReadOnlyList<IValueReader> components) : IValueReader
{
    private readonly Lazy<(float[] Kernels, float[] Inputs)> _held = new(() => (Load(components[1]), Load(components[2])));

    public Shape Shape => shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        if (firstRow < 0 || rows < 0 || rows > shape[0] - firstRow)
        {
            throw new ArgumentOutOfRangeException(nameof(firstRow), $"rows {firstRow}+{rows} are outside {shape}");
        }

        (float[] kernels, float[] inputs) = _held.Value;
        int columns = (int)shape[1];
        int kernel = sizes.Kernel;
        float[] outer = new float[rows * sizes.Outer];
        components[0].ReadRows(firstRow, rows, outer);
        float[] filter = new float[sizes.Inner * kernel];
        for (int row = 0; row < rows; row++)
        {
            ReadOnlySpan<float> factors = outer.AsSpan(row * sizes.Outer, sizes.Outer);
            if (isCp)
            {
                for (int i = 0; i < filter.Length; i++)
                {
                    filter[i] = factors[i / kernel] * kernels[i];
                }
            }
            else
            {
                Array.Clear(filter);
                ProductKernel.Add(factors, sizes.Outer, kernels, filter.Length, filter, 1, sizes.Outer, filter.Length);
            }

            Spread(filter, inputs, destination.Slice(row * columns, columns));
        }
    }

    /// <summary>to[i K + k] = sum of filter[q K + k] inputs[q, i], in the order of q.</summary>
    private void Spread(float[] filter, float[] inputs, Span<float> to)
    {
        int kernel = sizes.Kernel;
        to.Clear();
        for (int q = 0; q < sizes.Inner; q++)
        {
            ReadOnlySpan<float> values = filter.AsSpan(q * kernel, kernel);
            for (int i = 0; i < sizes.Inputs; i++)
            {
                float factor = inputs[(q * sizes.Inputs) + i];
                Span<float> element = to.Slice(i * kernel, kernel);
                for (int k = 0; k < values.Length; k++)
                {
                    element[k] += values[k] * factor;
                }
            }
        }
    }

    private static float[] Load(IValueReader reader)
    {
        float[] values = new float[reader.Shape.ElementCount];
        reader.ReadRows(0, (int)reader.Shape.Rows, values);
        return values;
    }
}
