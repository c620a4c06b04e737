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
    private readonly NativeArray<float>? _drift;
    private readonly Dictionary<int, float[]> _costs = [];

    private InputMoments(int size, NativeArray<float> moments, NativeArray<float>? drift)
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
        NativeArray<float>? drift = null;
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
        if (statistics.Drift is TensorData stored)
        {
            drift = new NativeArray<float>((long)size * size);
            stored.Read(0, MemoryMarshal.AsBytes(drift.Slice(0, size * size)));
        }

        return new InputMoments(size, moments, drift);
    }

    /// <summary>product[rows, K] = x[rows, K] H, in pieces of the sum so that those of f32 stay short.</summary>
    public void Multiply(ReadOnlySpan<float> x, int rows, Span<float> product)
    {
        product.Clear();
        Add(_moments, x, rows, product);
    }

    /// <summary>target[rows, K] = w[rows, K] (H + D): what the product with H must be for outputs as in the float model.</summary>
    public void Target(ReadOnlySpan<float> w, int rows, Span<float> target)
    {
        Multiply(w, rows, target);
        if (_drift is not null)
        {
            Add(_drift, w, rows, target);
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

    public void Dispose()
    {
        _moments.Dispose();
        _drift?.Dispose();
    }

    private void Add(NativeArray<float> matrix, ReadOnlySpan<float> x, int rows, Span<float> product)
    {
        for (int at = 0; at < Size; at += Depth)
        {
            int depth = Math.Min(Depth, Size - at);
            SumOfProducts.Run(x[at..], 1, Size, matrix.Slice((long)at * Size, depth * Size), Size, product, Size, depth, rows, Size, subtract: false);
        }
    }
}
