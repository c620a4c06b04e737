namespace ModelPack.Kernels.MatMul;

/// <summary>How codes become values.</summary>
internal enum ValueKind
{
    /// <summary>code - zero point.</summary>
    Linear,

    /// <summary>A table of at most 16 values; also integers of at most 4 bits without zero points of their own.</summary>
    Table16,

    /// <summary>A larger table of any values.</summary>
    Table,

    /// <summary>No codes: f32, or bf16 in pairs of columns.</summary>
    Plain,

    /// <summary>f16 in pairs of columns.</summary>
    Half,

    /// <summary>Posits of 16 bits with one exponent bit, as signs and magnitudes, in pairs of columns.</summary>
    Posit1,

    /// <summary>The same with two exponent bits.</summary>
    Posit2,

    /// <summary>Up to 64 values that bf16 holds exactly. This and the kinds below have codes in paired order.</summary>
    Paired64,

    /// <summary>256 such values, the upper half the negatives of the lower.</summary>
    PairedSigned,

    /// <summary>Any other table of such values.</summary>
    Paired256,
}
