namespace ModelPack.Kernels.MatMul;

/// <summary>Which vector registers <see cref="IntegerRowCode"/> uses for what.</summary>
internal sealed class IntegerRowRegisters
{
    /// <summary>Scale of a block of activations.</summary>
    public const int Factor = 31;

    /// <summary>Codes of a group.</summary>
    public const int Codes = 30;

    /// <summary>Activations of a group, where several tiles are multiplied with them.</summary>
    public const int Activations = 29;

    /// <summary>Sums that are added to in turns, so that no addition waits for the one before.</summary>
    private const int EnoughSums = 8;

    private readonly int _totals;
    private readonly int _vectors;
    private readonly int _count;

    /// <param name="shape">The kind of weights.</param>
    public IntegerRowRegisters(IntegerRowShape shape)
    {
        UnitGroups = (shape.Bits & 1) != 0 ? 8 : 4;
        for (int width = 8, position = 0, vector = 0; width >= 1; width /= 2)
        {
            if ((shape.Bits & width) != 0)
            {
                Planes.Add(new Plane(width, position, vector, shape.HasTable ? 1 : 8 / width));
                position += width;
                vector += UnitGroups * width / 8;
            }
        }

        // More sums than places where these are few, as far as registers and units go.
        int tiles = shape.Tiles;
        Sets = Places == 1 ? Math.Max(EnoughSums / 2 / tiles, 2) : Places * tiles >= EnoughSums || Places > 4 ? 1 : 2;
        _totals = (tiles > 1 ? Activations : Codes) - tiles;
        _vectors = _totals - tiles;
        foreach (Plane plane in Planes)
        {
            for (int place = 0; place < plane.Places; place++)
            {
                plane.Sums[place] = _count;
                _count += Sets * tiles;
            }
        }

        if (shape.HasTable)
        {
            Table = _count++;
            Nibbles = _count++;
            return;
        }

        foreach (Plane plane in Planes.Where(p => p.Width < 8))
        {
            for (int place = 0; place < plane.Places; place++)
            {
                plane.Masks[place] = _count++;
            }
        }
    }

    /// <summary>Where the bits of a code lie.</summary>
    public List<Plane> Planes { get; } = [];

    /// <summary>Groups of four columns of a unit.</summary>
    public int UnitGroups { get; }

    /// <summary>Sums of every place.</summary>
    public int Sets { get; }

    /// <summary>What codes stand for.</summary>
    public int Table { get; }

    /// <summary>The lower four bits of every byte.</summary>
    public int Nibbles { get; }

    private int Places => Planes.Sum(p => p.Places);

    /// <summary>How many tiles of a kind of weights are done together: a power of two.</summary>
    /// <param name="shape">The kind, of any number of tiles.</param>
    public static int MostTiles(IntegerRowShape shape)
    {
        for (int tiles = RowCode.MaxTiles; tiles > 1; tiles /= 2)
        {
            var registers = new IntegerRowRegisters(shape with { Tiles = tiles });
            if (registers._count <= registers._vectors && tiles * shape.TileBytes <= int.MaxValue / 2)
            {
                return tiles;
            }
        }

        return 1;
    }

    /// <summary>Outputs of a tile so far.</summary>
    public int Total(int tile) => _totals + tile;

    /// <summary>Codes as they are stored, or scales, of a tile.</summary>
    public int Vector(int tile) => _vectors + tile;

    /// <summary>The sum of a place of a tile, the first of its sets.</summary>
    public int Sum(Plane plane, int place, int tile) => plane.Sums[place] + (tile * Sets);

    /// <summary>Bits of codes that lie together.</summary>
    /// <param name="Width">Bits per byte place.</param>
    /// <param name="Position">Of the first of them in the code.</param>
    /// <param name="FirstVector">In a unit.</param>
    /// <param name="Places">Places in a byte with sums of their own.</param>
    internal sealed record Plane(int Width, int Position, int FirstVector, int Places)
    {
        /// <summary>First sum of each place.</summary>
        public int[] Sums { get; } = new int[Places];

        /// <summary>Bits of each place.</summary>
        public int[] Masks { get; } = new int[Places];
    }
}
