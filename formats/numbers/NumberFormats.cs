namespace ModelPack.Numbers;

/// <summary>All number formats, in the order they are listed to people.</summary>
public static class NumberFormats
{
    public static IReadOnlyList<INumberFormat> All { get; } =
    [
        // Plain values, one format per dtype, under the dtype's name.
        .. DTypes.All.Select(dtype => new RawFormat(dtype)),

        // Integers with a scale per block.
        new IntBlockFormat(8),
        new IntBlockFormat(7),
        new IntBlockFormat(6),
        new IntBlockFormat(5),
        new IntBlockFormat(4),
        new IntBlockFormat(3),
        new IntBlockFormat(2),

        // Scalars without a scale that are no dtype.
        new PositFormat(16),
        new PositFormat(8),
        new BFloat8Format(),
        new ScalarFormat(),

        // Small floats with a scale per block.
        new MxFormat("mxfp8", "OCP MXFP8: 8-bit floats with a power-of-two scale per 32: element=e4m3|e5m2, mode=floor|ceil|rceil|even", ("e4m3", ElementFormat.E4M3), ("e5m2", ElementFormat.E5M2)),
        new MxFormat("mxfp6", "OCP MXFP6: 6-bit floats with a power-of-two scale per 32: element=e2m3|e3m2, mode=floor|ceil|rceil|even", ("e2m3", ElementFormat.E2M3), ("e3m2", ElementFormat.E3M2)),
        new MxFormat("mxfp4", "OCP MXFP4: 4-bit floats (E2M1) with a power-of-two scale per 32: mode=floor|ceil|rceil|even", ("e2m1", ElementFormat.E2M1)),
        new MxFormat("mxint8", "OCP MXINT8: 8-bit integers with a power-of-two scale per 32: mode=floor|ceil|rceil|even", ("int8", ElementFormat.Int8)),
        new Nvfp4Format(),
        new FloatFormat(),

        // Tables of values with a scale per block.
        new CodebookFormat("nf4", "4-bit NormalFloat of QLoRA", Codebook.Nf4),
        new CodebookFormat("fp4", "4-bit float of bitsandbytes", Codebook.Fp4),
        new CodebookFormat("dyn8", "8-bit dynamic-tree map of bitsandbytes", Codebook.Dynamic8),

        // Tables of values that are chosen for each tensor.
        new PaletteFormat(),

        // 8-bit floats with a scale per tensor, row or block.
        new Fp8Format(),

        // Weights trained to be -1, 0 or 1 times a scale.
        new TernaryFormat(),

        // Blocks of other tools.
        new BnbInt8Format(),
        new BitNetI2Format(),
        new GgufFormat("gguf-q8_0", "ggml Q8_0: 8-bit integers, f16 scale per 32", new GgufCodec<Q8Block>()),
        new GgufFormat("gguf-q6_k", "ggml Q6_K: 6-bit integers, 8-bit scale per 16, f16 scale per 256", new GgufCodec<Q6KBlock>()),
        new GgufFormat("gguf-q4_k", "ggml Q4_K: 4-bit integers, 6-bit scale and minimum per 32, f16 scales per 256", new GgufCodec<Q4KBlock>()),
        new GgufFormat("gguf-q4_0", "ggml Q4_0: 4-bit integers, f16 scale per 32", new GgufCodec<Q4Block>()),
        new GgufFormat("gguf-mxfp4", "ggml MXFP4: E2M1 with a power-of-two scale per 32, in ggml's order", new GgufCodec<Mxfp4Block>()),
        new GgufFormat("gguf-nvfp4", "ggml NVFP4: E2M1 with an E4M3 scale per 16, no global scale", new GgufCodec<Nvfp4Block>()),
        new GgufTernaryFormat("gguf-tq2_0", "ggml TQ2_0: ternary values of 2 bits, f16 scale per 256", new GgufCodec<Tq2Block>()),
        new GgufTernaryFormat("gguf-tq1_0", "ggml TQ1_0: five ternary values per byte, f16 scale per 256", new GgufCodec<Tq1Block>()),
    ];

    /// <exception cref="ModelPackException">MP1021: no such format.</exception>
    public static INumberFormat Get(string id) =>
        All.FirstOrDefault(f => f.Id == id) ?? throw new ModelPackException(ErrorCodes.UnknownUnit, $"unknown number format '{id}'");

    /// <summary>The spec with what its format must know about the whole tensor filled in; the same spec for formats that need nothing (see <see cref="ITensorwideFormat"/>).</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022, or MP1040 when the values cannot be stored.</exception>
    public static UnitSpec Complete(UnitSpec spec, IValueReader values) => Get(spec.Id) is ITensorwideFormat format ? format.Complete(spec, values) : spec;

    /// <summary>Binds a spec to a shape.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022, or MP1020 when the shape is too large for the format.</exception>
    public static IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Get(spec.Id).Bind(spec, shape);
}
