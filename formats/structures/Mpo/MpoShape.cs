using System.Globalization;

namespace ModelPack.Structures;

/// <summary>How a matrix is cut into the sites of a matrix product operator.</summary>
/// <param name="Rows">Factors of the rows, o_k; their product is at least the rows.</param>
/// <param name="Columns">Factors of the columns, i_k; as many.</param>
/// <param name="Ranks">Bond dimensions r_1 ... between neighbours; one fewer.</param>
public sealed record MpoShape(int[] Rows, int[] Columns, int[] Ranks)
{
    /// <summary>The registered name of the structure.</summary>
    public const string Id = "mpo";

    public const int MinSites = 2;

    public const int MaxSites = 4;

    private const int MaxSide = 1 << 26;

    private const long MaxCore = 1 << 28;

    /// <summary>Number of cores.</summary>
    public int Sites => Rows.Length;

    /// <summary>Stored values: the sum of r_{k-1} o_k i_k r_k.</summary>
    public long Parameters => Enumerable.Range(0, Sites).Sum(k => Core(k).ElementCount);

    /// <summary>Multiplications per row of activations when cores are contracted one by one from the first on.</summary>
    public long MultiplicationsPerRow
    {
        get
        {
            long sum = 0;
            for (int k = 0; k < Sites; k++)
            {
                // State: o_1 ... o_{k-1}, r_{k-1}, i_k, ..., i_n.
                sum += Product(Rows.AsSpan(0, k)) * Before(k) * Product(Columns.AsSpan(k)) * Rows[k] * After(k);
            }

            return sum;
        }
    }

    /// <summary>Bond dimension before a site.</summary>
    public int Before(int site) => site == 0 ? 1 : Ranks[site - 1];

    /// <summary>Bond dimension after a site.</summary>
    public int After(int site) => site == Sites - 1 ? 1 : Ranks[site];

    /// <summary>Core k as stored: [o_k r_k, r_{k-1} i_k].</summary>
    public Shape Core(int site) => new((long)Rows[site] * After(site), (long)Before(site) * Columns[site]);

    /// <summary>Largest useful bond dimension after a site: beyond it the cores before or after it hold more than the matrix has.</summary>
    public static long MaxRank(ReadOnlySpan<int> rows, ReadOnlySpan<int> columns, int site) =>
        Math.Min(Product(rows[..(site + 1)]) * Product(columns[..(site + 1)]), Product(rows[(site + 1)..]) * Product(columns[(site + 1)..]));

    /// <summary>The spec: <c>mpo(columns=16x16,ranks=64,rows=16x48)</c>.</summary>
    public UnitSpec Spec() => new(Id, ("rows", Text(Rows)), ("columns", Text(Columns)), ("ranks", Text(Ranks)));

    /// <summary>
    /// Factors of a side, as equal as its prime factors allow: the largest prime goes to the smallest factor, again and again (as in CompactifAI, arXiv 2401.14109). A side whose factors are very unequal (a prime) is filled up to the
    /// next that is even enough; a side smaller than the number of sites has factors 1.
    /// </summary>
    /// <param name="side">Rows or columns.</param>
    /// <param name="sites">2 to 4.</param>
    /// <returns>Ascending; their product is <paramref name="side"/> or a little more.</returns>
    public static int[] Factors(int side, int sites)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(side);
        ArgumentOutOfRangeException.ThrowIfLessThan(sites, 1);
        int[] best = Balanced(side, sites);
        for (int padded = side + 1; padded <= side + (side / 16) + 1 && (long)best[^1] > 4L * best[0] && side >= 1 << sites; padded++)
        {
            int[] other = Balanced(padded, sites);
            best = other[^1] <= 4L * other[0] ? other : best;
        }

        return best;
    }

    /// <summary>Reads the arguments and checks the cores.</summary>
    /// <exception cref="ModelPackException">MP1020, MP1022.</exception>
    public static MpoShape Of(StructuredEncoding encoding)
    {
        UnitSpec spec = encoding.Structure;
        spec.AllowOnly("rows", "columns", "ranks");
        Shape shape = encoding.Shape;
        if (shape.Rank != 2 || shape[0] is < 1 or > MaxSide || shape[1] is < 1 or > MaxSide)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{spec}' cannot make {shape}: it makes matrices of 1 to {MaxSide} rows and columns");
        }

        var mpo = new MpoShape(Numbers(spec, "rows"), Numbers(spec, "columns"), Numbers(spec, "ranks"));
        if (mpo.Sites is < MinSites or > MaxSites || mpo.Columns.Length != mpo.Sites || mpo.Ranks.Length != mpo.Sites - 1)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec}' needs {MinSites} to {MaxSites} factors of rows, as many of columns and one rank fewer");
        }

        if (Product(mpo.Rows) < shape[0] || Product(mpo.Columns) < shape[1] || Product(mpo.Rows) > 2L * MaxSide || Product(mpo.Columns) > 2L * MaxSide)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{spec}' cannot make {shape}");
        }

        for (int k = 0; k < mpo.Sites; k++)
        {
            if ((k < mpo.Sites - 1 && mpo.Ranks[k] > MaxRank(mpo.Rows, mpo.Columns, k)) || !mpo.Core(k).TryElementCount(out long values) || values > MaxCore)
            {
                throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec}': a rank is larger than what it joins, or a core has more than {MaxCore} values");
            }
        }

        LowRank.CheckComponents(encoding, [.. Enumerable.Range(0, mpo.Sites).Select(mpo.Core)]);
        return mpo;
    }

    /// <summary>The product of factors, at least 1 each; the largest number there is where it is larger.</summary>
    public static long Product(ReadOnlySpan<int> factors)
    {
        long product = 1;
        foreach (int factor in factors)
        {
            product = product > long.MaxValue / factor ? long.MaxValue : product * factor;
        }

        return product;
    }

    private static int[] Balanced(int side, int sites)
    {
        var primes = new List<int>();
        int rest = side;
        for (int p = 2; (long)p * p <= rest; p++)
        {
            while (rest % p == 0)
            {
                primes.Add(p);
                rest /= p;
            }
        }

        if (rest > 1)
        {
            primes.Add(rest);
        }

        int[] factors = [.. Enumerable.Repeat(1, sites)];
        for (int i = primes.Count - 1; i >= 0; i--)
        {
            factors[Array.IndexOf(factors, factors.Min())] *= primes[i];
        }

        Array.Sort(factors);
        return factors;
    }

    private static string Text(int[] numbers) => string.Join('x', numbers.Select(n => n.ToString(CultureInfo.InvariantCulture)));

    private static int[] Numbers(UnitSpec spec, string key)
    {
        string[] parts = spec.Text(key, "").Split('x');
        int[] numbers = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]) || numbers[i] is < 1 or > MaxSide)
            {
                throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec}': {key}={spec.Text(key, "")} are not numbers such as 16x16 from 1 to {MaxSide}");
            }
        }

        return numbers;
    }
}
