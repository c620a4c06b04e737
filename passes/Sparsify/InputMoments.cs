using System.Runtime.InteropServices;
using ModelPack.Compiler.Calibration;
using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// What pruning needs of the activations X that a weight is multiplied with: H = X^T X, damped; D = (F - X)^T X where F are the activations of the model before layers were pruned; and inverses of diagonal blocks of H^-1,
/// which say what dropping the weights of such a block costs when all others make up for it. Safe to use from several threads.
/// </summary>
internal sealed class InputMoments : IDisposable
{
    private const int Depth = 128;

    private readonly NativeArray<float> _moments;
    private readonly TensorData? _drift;
    private readonly Dictionary<int, float[]> _costs = [];

    private InputMoments(int size, NativeArray<float> moments, TensorData? drift)
    {
        Size = size;
        _moments = moments;
        _drift = drift;
    }

    /// <summary>K.</summary>
    public int Size { get; }

    /// <summary>True when the inputs are not those of the float model.</summary>
    public bool HasDrift => _drift is not null;

    /// <summary>H, [K, K].</summary>
    public ReadOnlySpan<float> Moments => _moments.Slice(0, checked(Size * Size));

    /// <summary>Reads statistics.</summary>
    /// <param name="statistics">With second moments; null makes H the identity, as if activations were white noise.</param>
    /// <param name="size">K.</param>
    /// <param name="damping">Part of the mean of the diagonal that is added to it.</param>
    /// <exception cref="ModelPackException">MP2216: all zero, or not finite.</exception>
    public static InputMoments Of(ActivationStatistics? statistics, int size, double damping)
    {
        var moments = new NativeArray<float>((long)size * size);
        if (statistics is null)
        {
            for (int i = 0; i < size; i++)
            {
                moments.Slice((long)i * (size + 1), 1)[0] = 1;
            }

            return new InputMoments(size, moments, null);
        }

        var damped = new DampedMoments(statistics, damping);
        damped.Read(0, size, moments.Slice(0, checked(size * size)));
        return new InputMoments(size, moments, statistics.Drift);
    }

    /// <summary>product[rows, K] = x[rows, K] H.</summary>
    public void Multiply(ReadOnlySpan<float> x, int rows, Span<float> product)
    {
        product.Clear();
        for (int at = 0; at < Size; at += Depth)
        {
            int depth = Math.Min(Depth, Size - at);
            Add(_moments.Slice((long)at * Size, depth * Size), x[at..], depth, rows, product);
        }
    }

    /// <summary>target[rows, K] = w[rows, K] (H + D): what the product with H must be for outputs as in the float model. D is read from where the statistics keep it, some rows at a time.</summary>
    /// <param name="w">[rows, K].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="target">[rows, K] destination.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Stops.</param>
    public void Target(float[] w, int rows, float[] target, int threads, CancellationToken cancellation)
    {
        RowTiles.Run(rows, 1, threads, (first, count) => Multiply(w.AsSpan(first * Size, count * Size), count, target.AsSpan(first * Size, count * Size)), cancellation);
        if (_drift is null)
        {
            return;
        }

        using var strip = new NativeArray<float>((long)Math.Min(Depth, Size) * Size);
        for (int at = 0; at < Size; at += Depth)
        {
            int start = at;
            int depth = Math.Min(Depth, Size - at);
            _drift.Read((long)at * Size * sizeof(float), MemoryMarshal.AsBytes(strip.Slice(0, depth * Size)));
            RowTiles.Run(rows, 1, threads, (first, count) => Add(strip.Slice(0, depth * Size), w.AsSpan((first * Size) + start), depth, count, target.AsSpan(first * Size, count * Size)), cancellation);
        }
    }

    /// <summary>
    /// Inverses of the diagonal blocks of H^-1, [K / width, width, width]; the last block may be smaller and is filled up with the identity. For a vector w of dropped weights w B w is what the squared output error grows by
    /// (optimal brain surgeon).
    /// </summary>
    /// <param name="width">Columns of a block.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Stops.</param>
    public float[] Costs(int width, int threads, CancellationToken cancellation)
    {
        lock (_costs)
        {
            if (!_costs.TryGetValue(width, out float[]? costs))
            {
                _costs.Add(width, costs = MomentInverse.BlockCosts(Moments, Size, width, threads, cancellation));
            }

            return costs;
        }
    }

    /// <summary>The diagonal of H, [K].</summary>
    public float[] Diagonal()
    {
        float[] diagonal = new float[Size];
        for (int i = 0; i < diagonal.Length; i++)
        {
            diagonal[i] = Moments[(i * Size) + i];
        }

        return diagonal;
    }

    /// <summary>Inverses of the diagonal blocks of H, laid out as <see cref="Costs"/>. For the gradient g of the output error in weights that are 0, g B g is what the error sinks by when these weights alone are solved for.</summary>
    public float[] Gains(int width)
    {
        int blocks = (Size + width - 1) / width;
        float[] gains = new float[checked(blocks * width * width)];
        double[] inner = new double[width * width];
        for (int block = 0; block < blocks; block++)
        {
            int first = block * width;
            for (int i = 0; i < width; i++)
            {
                for (int j = 0; j < width; j++)
                {
                    inner[(i * width) + j] = Math.Max(first + i, first + j) < Size ? Moments[((first + i) * Size) + first + j] : i == j ? 1 : 0;
                }
            }

            SmallInverse.Run(inner, width);
            for (int i = 0; i < inner.Length; i++)
            {
                gains[(block * width * width) + i] = (float)inner[i];
            }
        }

        return gains;
    }

    public void Dispose() => _moments.Dispose();

    /// <summary>product[rows, K] += x[rows, depth] strip[depth, K]; sums over short depths one after the other keep those of f32 short.</summary>
    private void Add(ReadOnlySpan<float> strip, ReadOnlySpan<float> x, int depth, int rows, Span<float> product) =>
        SumOfProducts.Run(x, 1, Size, strip, Size, product, Size, depth, rows, Size, subtract: false);
}
