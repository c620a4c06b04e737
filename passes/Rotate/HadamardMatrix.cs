namespace ModelPack.Passes;

/// <summary>
/// A Hadamard matrix: entries +1 and -1, rows orthogonal, so that H^T H = n I. Built as the Kronecker product of a small one and Sylvester's of a power of two: row and column i are (i / 2^k, i mod 2^k).
/// Small ones come from the quadratic residues of a prime q (Paley, "On orthogonal matrices", 1933): order q + 1 for q = 3 mod 4, order 2 (q + 1) for q = 1 mod 4; with them all of 12, 20, 24, 28, 36, 44, 60, 68, 72, ...
/// </summary>
internal sealed class HadamardMatrix
{
    /// <summary>Largest order that is built out of residues: its product costs as many additions per value.</summary>
    private const int MaxCore = 512;

    private readonly sbyte[]? _core;

    private HadamardMatrix(int core, sbyte[]? values, int powerOfTwo)
    {
        Core = core;
        _core = values;
        PowerOfTwo = powerOfTwo;
    }

    /// <summary>Rows and columns.</summary>
    public int Order => Core * PowerOfTwo;

    /// <summary>Order of the part from residues; 1 where the order is a power of two.</summary>
    public int Core { get; }

    /// <summary>Order of Sylvester's part.</summary>
    public int PowerOfTwo { get; }

    /// <summary>The largest Hadamard matrix that divides a number of channels into equal blocks.</summary>
    /// <param name="channels">At least 1.</param>
    /// <param name="most">Largest order wanted.</param>
    /// <returns>Of order <paramref name="channels"/> itself where one is known and wanted, else of a power of two.</returns>
    public static HadamardMatrix Dividing(long channels, int most)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(channels);
        long power = channels & -channels;
        if (channels <= most && channels != power)
        {
            for (long core = channels / power * 4; core <= MaxCore && channels % core == 0; core *= 2)
            {
                if (FromResidues((int)core) is sbyte[] values)
                {
                    return new HadamardMatrix((int)core, values, (int)(channels / core));
                }
            }
        }

        while (power > most)
        {
            power /= 2;
        }

        return new HadamardMatrix(1, null, (int)power);
    }

    /// <summary>+1 or -1.</summary>
    public int this[int row, int column]
    {
        get
        {
            int sign = (System.Numerics.BitOperations.PopCount((uint)(row % PowerOfTwo) & (uint)(column % PowerOfTwo)) & 1) == 0 ? 1 : -1;
            return _core is null ? sign : sign * _core[(row / PowerOfTwo * Core) + (column / PowerOfTwo)];
        }
    }

    /// <summary>
    /// v H for <paramref name="width"/> vectors at once: element i of vector c lies at i * width + c, so that a vector by itself has width 1. Sums in a fixed order.
    /// </summary>
    /// <param name="values">[order, width], replaced by the result.</param>
    /// <param name="width">Vectors.</param>
    /// <param name="scratch">[core order, width] numbers of scratch; may be empty when <see cref="Core"/> is 1.</param>
    public void Multiply(Span<double> values, int width, Span<double> scratch)
    {
        for (int half = 1; half < PowerOfTwo; half *= 2)
        {
            int run = half * width;
            for (int at = 0; at < values.Length; at += 2 * run)
            {
                Butterfly(values.Slice(at, run), values.Slice(at + run, run));
            }
        }

        if (_core is not null)
        {
            for (int part = 0; part < PowerOfTwo; part++)
            {
                MultiplyCore(values, part * width, PowerOfTwo * width, width, scratch);
            }
        }
    }

    private void MultiplyCore(Span<double> values, int offset, int stride, int width, Span<double> scratch)
    {
        Span<double> sums = scratch[..(Core * width)];
        sums.Clear();
        for (int row = 0; row < Core; row++)
        {
            ReadOnlySpan<double> source = values.Slice(offset + (row * stride), width);
            for (int column = 0; column < Core; column++)
            {
                double sign = _core![(row * Core) + column];
                Span<double> target = sums.Slice(column * width, width);
                for (int c = 0; c < target.Length; c++)
                {
                    target[c] += sign * source[c];
                }
            }
        }

        for (int column = 0; column < Core; column++)
        {
            sums.Slice(column * width, width).CopyTo(values[(offset + (column * stride))..]);
        }
    }

    /// <summary>(a, b) becomes (a + b, a - b).</summary>
    private static void Butterfly(Span<double> a, Span<double> b)
    {
        int i = 0;
        for (; i <= a.Length - System.Numerics.Vector<double>.Count; i += System.Numerics.Vector<double>.Count)
        {
            var x = new System.Numerics.Vector<double>(a[i..]);
            var y = new System.Numerics.Vector<double>(b[i..]);
            (x + y).CopyTo(a[i..]);
            (x - y).CopyTo(b[i..]);
        }

        for (; i < a.Length; i++)
        {
            (a[i], b[i]) = (a[i] + b[i], a[i] - b[i]);
        }
    }

    /// <summary>Paley's matrix of that order, row-major; null where neither construction with a prime gives one.</summary>
    private static sbyte[]? FromResidues(int order) =>
        IsPrime(order - 1) && (order - 1) % 4 == 3 ? Skew(order - 1)
        : order % 4 == 0 && IsPrime((order / 2) - 1) && ((order / 2) - 1) % 4 == 1 ? Symmetric((order / 2) - 1)
        : null;

    /// <summary>I + S, S skew with the residues of q inside and a border of ones: order q + 1.</summary>
    private static sbyte[] Skew(int q)
    {
        int order = q + 1;
        int[] residues = Residues(q);
        sbyte[] matrix = new sbyte[order * order];
        for (int r = 0; r < order; r++)
        {
            for (int c = 0; c < order; c++)
            {
                int s = r == 0 ? (c == 0 ? 0 : 1) : c == 0 ? -1 : residues[((r - c) % q + q) % q];
                matrix[(r * order) + c] = (sbyte)(s + (r == c ? 1 : 0));
            }
        }

        return matrix;
    }

    /// <summary>A conference matrix of order q + 1, its zeros replaced by [1, -1; -1, -1], its ones by [1, 1; 1, -1]: order 2 (q + 1).</summary>
    private static sbyte[] Symmetric(int q)
    {
        int half = q + 1;
        int[] residues = Residues(q);
        sbyte[] matrix = new sbyte[4 * half * half];
        for (int r = 0; r < half; r++)
        {
            for (int c = 0; c < half; c++)
            {
                int s = r == c ? 0 : r == 0 || c == 0 ? 1 : residues[((r - c) % q + q) % q];
                for (int i = 0; i < 4; i++)
                {
                    int value = s == 0 ? (i == 0 ? 1 : -1) : i == 3 ? -s : s;
                    matrix[(((2 * r) + (i / 2)) * 2 * half) + (2 * c) + (i % 2)] = (sbyte)value;
                }
            }
        }

        return matrix;
    }

    /// <summary>Legendre symbols of 0 to q - 1.</summary>
    private static int[] Residues(int q)
    {
        int[] symbols = new int[q];
        Array.Fill(symbols, -1, 1, q - 1);
        for (int i = 1; i < q; i++)
        {
            symbols[i * i % q] = 1;
        }

        return symbols;
    }

    private static bool IsPrime(int n)
    {
        for (int d = 2; d * d <= n; d++)
        {
            if (n % d == 0)
            {
                return false;
            }
        }

        return n >= 2;
    }
}
