namespace ModelPack.Numbers;

/// <summary>All number formats, in the order they are listed to people.</summary>
public static class NumberFormats
{
    private static readonly Entry[] Catalogue =
    [
        // Plain values, one format per dtype, under the dtype's name.
        .. Raw(),

        // Integers with a scale per block.
        new("int8", static _ => new IntBlockFormat(8)),
        new("int7", static _ => new IntBlockFormat(7)),
        new("int6", static _ => new IntBlockFormat(6)),
        new("int5", static _ => new IntBlockFormat(5)),
        new("int4", static _ => new IntBlockFormat(4)),
        new("int3", static _ => new IntBlockFormat(3)),
        new("int2", static _ => new IntBlockFormat(2)),

        // Scalars without a scale that are no dtype.
        new("posit16", static _ => new PositFormat(16)),
        new("posit8", static _ => new PositFormat(8)),
        new("bfloat8", static _ => new BFloat8Format()),
        new("scalar", static _ => new ScalarFormat()),

        // Small floats with a scale per block.
        new("mxfp8", static id => new MxFormat(id, "OCP MXFP8: 8-bit floats with a power-of-two scale per 32: element=e4m3|e5m2, mode=floor|ceil|rceil|even", ("e4m3", ElementFormat.E4M3), ("e5m2", ElementFormat.E5M2))),
        new("mxfp6", static id => new MxFormat(id, "OCP MXFP6: 6-bit floats with a power-of-two scale per 32: element=e2m3|e3m2, mode=floor|ceil|rceil|even", ("e2m3", ElementFormat.E2M3), ("e3m2", ElementFormat.E3M2))),
        new("mxfp4", static id => new MxFormat(id, "OCP MXFP4: 4-bit floats (E2M1) with a power-of-two scale per 32: mode=floor|ceil|rceil|even", ("e2m1", ElementFormat.E2M1))),
        new("mxint8", static id => new MxFormat(id, "OCP MXINT8: 8-bit integers with a power-of-two scale per 32: mode=floor|ceil|rceil|even", ("int8", ElementFormat.Int8))),
        new("nvfp4", static _ => new Nvfp4Format()),
        new("float", static _ => new FloatFormat()),

        // Tables of values with a scale per block.
        new("nf4", static id => new CodebookFormat(id, "4-bit NormalFloat of QLoRA", Codebook.Nf4)),
        new("fp4", static id => new CodebookFormat(id, "4-bit float of bitsandbytes", Codebook.Fp4)),
        new("dyn8", static id => new CodebookFormat(id, "8-bit dynamic-tree map of bitsandbytes", Codebook.Dynamic8, Codebook.Dynamic8Unsigned)),

        // 8-bit floats with a scale per tensor, row or block.
        new("fp8", static _ => new Fp8Format()),

        // Tables of values that are chosen for each tensor.
        new("palette", static _ => new PaletteFormat()),

        // Weights trained to be -1, 0 or 1 times a scale.
        new("ternary", static _ => new TernaryFormat()),

        // Blocks of other tools.
        new("bnb-int8", static _ => new BnbInt8Format()),
        new("bitnet-i2_s", static _ => new BitNetI2Format()),
        new("bitnet-tl1", static _ => new BitNetTableFormat(triples: false)),
        new("bitnet-tl2", static _ => new BitNetTableFormat(triples: true)),
        new("gguf-q8_0", static id => new GgufFormat(id, "ggml Q8_0: 8-bit integers, f16 scale per 32", new GgufCodec<Q8Block>())),
        new("gguf-q6_k", static id => new GgufFormat(id, "ggml Q6_K: 6-bit integers, 8-bit scale per 16, f16 scale per 256", new GgufCodec<Q6KBlock>())),
        new("gguf-q4_k", static id => new GgufFormat(id, "ggml Q4_K: 4-bit integers, 6-bit scale and minimum per 32, f16 scales per 256", new GgufCodec<Q4KBlock>())),
        new("gguf-q4_0", static id => new GgufFormat(id, "ggml Q4_0: 4-bit integers, f16 scale per 32", new GgufCodec<Q4Block>())),
        new("gguf-q4_1", static id => new GgufFormat(id, "ggml Q4_1: 4-bit integers, f16 scale and minimum per 32", new GgufCodec<Q41Block>())),
        new("gguf-q5_0", static id => new GgufFormat(id, "ggml Q5_0: 5-bit integers, f16 scale per 32", new GgufCodec<Q50Block>())),
        new("gguf-mxfp4", static id => new GgufFormat(id, "ggml MXFP4: E2M1 with a power-of-two scale per 32, in ggml's order", new GgufCodec<Mxfp4Block>())),
        new("gguf-nvfp4", static id => new GgufFormat(id, "ggml NVFP4: E2M1 with an E4M3 scale per 16, no global scale", new GgufCodec<Nvfp4Block>())),
        new("gguf-tq2_0", static id => new GgufTernaryFormat(id, "ggml TQ2_0: ternary values of 2 bits, f16 scale per 256", new GgufCodec<Tq2Block>())),
        new("gguf-tq1_0", static id => new GgufTernaryFormat(id, "ggml TQ1_0: five ternary values per byte, f16 scale per 256", new GgufCodec<Tq1Block>())),
    ];

    private static Entry[] Raw()
    {
        var entries = new Entry[DTypes.All.Count];
        for (int i = 0; i < entries.Length; i++)
        {
            DType dtype = DTypes.All[i];
            entries[i] = new Entry(dtype.Name(), _ => new RawFormat(dtype));
        }

        return entries;
    }

    private static readonly Lazy<IReadOnlyList<INumberFormat>> Everything = new(static () => [.. Catalogue.Select(static e => e.Format)]);

    /// <summary>Names of all formats, without making any.</summary>
    public static IReadOnlyList<string> Ids { get; } = Array.ConvertAll(Catalogue, static e => e.Id);

    /// <summary>Every format.</summary>
    public static IReadOnlyList<INumberFormat> All => Everything.Value;

    /// <exception cref="ModelPackException">MP1021: no such format.</exception>
    public static INumberFormat Get(string id) =>
        Array.Find(Catalogue, e => e.Id == id)?.Format ?? throw new ModelPackException(ErrorCodes.UnknownUnit, $"unknown number format '{id}'");

    /// <summary>The spec with what its format must know about the whole tensor filled in; the same spec for formats that need nothing (see <see cref="ITensorwideFormat"/>).</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022, or MP1040 when the values cannot be stored.</exception>
    public static UnitSpec Complete(UnitSpec spec, IValueReader values) => Get(spec.Id) is ITensorwideFormat format ? format.Complete(spec, values) : spec;

    /// <summary>Binds a spec to a shape.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022, or MP1020 when the shape is too large for the format.</exception>
    public static IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Get(spec.Id).Bind(spec, shape);

    /// <summary>A line of the catalogue. Formats are made when they are asked for: an artifact uses few of them, and is opened in the first moments of a process.</summary>
    private sealed class Entry(string id, Func<string, INumberFormat> create)
    {
        private INumberFormat? _format;

        public string Id => id;

        /// <summary>Formats have no state: one that two threads make at once is made twice, and either serves.</summary>
        public INumberFormat Format => _format ??= create(id);
    }
}
