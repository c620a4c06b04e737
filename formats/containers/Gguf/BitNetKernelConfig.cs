using System.Collections.Frozen;
using System.Globalization;

namespace ModelPack.Containers.Gguf;

/// <summary>
/// Tiles of the matrices in a file of bitnet.cpp: those of a <c>kernel_config.ini</c> beside it, which its code generator writes into <c>include/</c> and its converter reads, else those that it
/// publishes for a shape.
/// </summary>
internal sealed class BitNetKernelConfig
{
    /// <summary>The file that is looked for in the model's folder.</summary>
    public const string FileName = "kernel_config.ini";

    private const int LimitBytes = 1 << 20;

    /// <summary>What bitnet.cpp's <c>setup_env.py</c> passes to its code generator for TL1: bitnet_b1_58-large, bitnet_b1_58-3B, Llama3-8B-1.58-100B-tokens.</summary>
    private static readonly FrozenDictionary<(long Rows, long Columns), BitNetTiles> PublishedTl1 = new Dictionary<(long, long), BitNetTiles>
    {
        [(1536, 4096)] = new(256, 128, 32),
        [(1536, 1536)] = new(128, 64, 64),
        [(4096, 1536)] = new(256, 128, 32),
        [(3200, 8640)] = new(160, 64, 32),
        [(3200, 3200)] = new(320, 128, 64),
        [(8640, 3200)] = new(320, 64, 32),
        [(14336, 4096)] = new(256, 128, 32),
        [(4096, 14336)] = new(128, 64, 64),
        [(1024, 4096)] = new(256, 128, 32),
        [(4096, 4096)] = new(128, 64, 64),
    }.ToFrozenDictionary();

    /// <summary>The same for TL2.</summary>
    private static readonly FrozenDictionary<(long Rows, long Columns), BitNetTiles> PublishedTl2 = new Dictionary<(long, long), BitNetTiles>
    {
        [(1536, 4096)] = new(256, 96, 32),
        [(1536, 1536)] = new(128, 192, 32),
        [(4096, 1536)] = new(256, 96, 32),
        [(3200, 8640)] = new(160, 96, 32),
        [(3200, 3200)] = new(320, 96, 32),
        [(8640, 3200)] = new(320, 96, 32),
        [(14336, 4096)] = new(256, 96, 32),
        [(4096, 14336)] = new(128, 96, 32),
        [(1024, 4096)] = new(256, 96, 32),
        [(4096, 4096)] = new(128, 96, 32),
    }.ToFrozenDictionary();

    private readonly Lazy<Dictionary<(long Rows, long Columns), BitNetTiles>> _own;
    private readonly string _path;

    public BitNetKernelConfig(string modelPath)
    {
        _path = Path.Combine(Path.GetDirectoryName(modelPath) ?? "", FileName);
        _own = new(Read);
    }

    /// <summary>The tiles of a matrix, or null where nothing says them.</summary>
    /// <param name="tensor">For error messages.</param>
    /// <param name="shape">[M, K].</param>
    /// <param name="triples">True for TL2.</param>
    /// <exception cref="ModelPackException">MP1418: the file beside the model is damaged, or no kernel has such tiles, or they do not fit the matrix.</exception>
    public BitNetTiles? Find(string tensor, Shape shape, bool triples)
    {
        if (shape.Rank != 2)
        {
            return null;
        }

        if (!_own.Value.TryGetValue((shape[0], shape[1]), out BitNetTiles tiles))
        {
            return (triples ? PublishedTl2 : PublishedTl1).TryGetValue((shape[0], shape[1]), out tiles) ? tiles : null;
        }

        // Whole blocks alone are stored; TL2 has room for at most 256 columns in pairs.
        return tiles.Fit(shape, triples) ? tiles : throw new ModelPackException(ErrorCodes.BitNetKernelConfig, $"tiles {tiles} (bm, bk, bmm) do not fit a matrix {shape} in {(triples ? "TL2" : "TL1")}", _path, tensor);
    }

    private Dictionary<(long Rows, long Columns), BitNetTiles> Read()
    {
        var found = new Dictionary<(long, long), BitNetTiles>();
        if (!File.Exists(_path))
        {
            return found;
        }

        if (new FileInfo(_path).Length > LimitBytes)
        {
            throw Bad("is too long");
        }

        var section = new Dictionary<string, int>(StringComparer.OrdinalIgnoreCase);
        string name = "";
        foreach (string line in File.ReadLines(_path).Select(l => l.Trim()).Append("[]"))
        {
            if (line.StartsWith('['))
            {
                if (name.Length > 0)
                {
                    int Value(string key) => section.TryGetValue(key, out int value) ? value : throw Bad($"section {name} has no '{key}'");
                    found[(Value("m"), Value("k"))] = new BitNetTiles(Value("bm"), Value("bk"), Value("bmm"));
                }

                name = line;
                section.Clear();
            }
            else if (line.Length > 0 && line[0] is not ('#' or ';'))
            {
                int at = line.IndexOf('=', StringComparison.Ordinal);
                if (name.Length == 0 || at < 0 || !int.TryParse(line[(at + 1)..].Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int value))
                {
                    throw Bad($"'{(line.Length > 60 ? line[..60] : line)}' is not 'name = number' in a section");
                }

                section[line[..at].Trim()] = value;
            }
        }

        return found;
    }

    private ModelPackException Bad(string detail) => new(ErrorCodes.BitNetKernelConfig, detail, _path);
}
