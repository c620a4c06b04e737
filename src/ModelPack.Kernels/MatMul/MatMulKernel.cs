namespace ModelPack.Kernels.MatMul;

/// <summary>The kernels for one weight on one instruction set.</summary>
internal readonly unsafe struct MatMulKernel
{
    private MatMulKernel(
        delegate*<byte*, in TileWeight, float*, float*, void> floatRow,
        delegate*<byte*, int, in TileWeight, float*, int, float*, float*, void> floatRows,
        delegate*<byte*, in TileWeight, in ActivationCodes, float*, void> integerRow,
        delegate*<byte*, in TileWeight, in ActivationCodes, byte*, float*, void> integerRows)
    {
        FloatRow = floatRow;
        FloatRows = floatRows;
        IntegerRow = integerRow;
        IntegerRows = integerRows;
    }

    /// <summary>See <see cref="FloatMatVec{TSimd, TCodes, TValues}"/>.</summary>
    public delegate*<byte*, in TileWeight, float*, float*, void> FloatRow { get; }

    /// <summary>See <see cref="FloatMatMul{TSimd, TCodes, TValues}"/>.</summary>
    public delegate*<byte*, int, in TileWeight, float*, int, float*, float*, void> FloatRows { get; }

    /// <summary>See <see cref="IntegerMatVec{TSimd, TCodes, TMap}"/>.</summary>
    public delegate*<byte*, in TileWeight, in ActivationCodes, float*, void> IntegerRow { get; }

    /// <summary>See <see cref="IntegerMatMul{TSimd, TCodes, TMap}"/>.</summary>
    public delegate*<byte*, in TileWeight, in ActivationCodes, byte*, float*, void> IntegerRows { get; }

    /// <summary>The kernels of a tier.</summary>
    public static MatMulKernel For(MatMulWeight weight, KernelTier tier) => tier switch
    {
        // Integers are multiplied in 256 bits also where 512 are there: .NET has the instruction of four products only at 256.
        KernelTier.Avx512 => For<Simd512, Simd256>(weight),
        KernelTier.Avx2 => For<Simd256, Simd256>(weight),
        _ => For<Simd128, Simd128>(weight),
    };

    private static MatMulKernel For<TFloat, TInteger>(MatMulWeight weight)
        where TFloat : struct, ISimd<TFloat>
        where TInteger : struct, ISimd<TInteger> => weight.Layout.Bits switch
        {
            2 => For<TFloat, TInteger, Codes2>(weight),
            3 => For<TFloat, TInteger, Codes3>(weight),
            4 => For<TFloat, TInteger, Codes4>(weight),
            5 => For<TFloat, TInteger, Codes5>(weight),
            6 => For<TFloat, TInteger, Codes6>(weight),
            7 => For<TFloat, TInteger, Codes7>(weight),
            _ => For<TFloat, TInteger, Codes8>(weight),
        };

    private static MatMulKernel For<TFloat, TInteger, TCodes>(MatMulWeight weight)
        where TFloat : struct, ISimd<TFloat>
        where TInteger : struct, ISimd<TInteger>
        where TCodes : struct, ICodes =>
        weight.Kind switch
        {
            ValueKind.Table16 when weight.HasIntegerTable => For<TFloat, TInteger, TCodes, Table16Values, TableBytes>(),

            // With 16 lanes a look-up is one instruction; with fewer, integers are converted faster.
            ValueKind.Table16 when TFloat.Count == 16 || weight.IsTableOnly => For<TFloat, TInteger, TCodes, Table16Values, SameBytes>(),
            ValueKind.Table => For<TFloat, TInteger, TCodes, TableValues, SameBytes>(),
            ValueKind.Paired64 => For<TFloat, TInteger, TCodes, Paired64Values, SameBytes>(),
            ValueKind.PairedSigned => For<TFloat, TInteger, TCodes, PairedSignedValues, SameBytes>(),
            ValueKind.Paired256 => For<TFloat, TInteger, TCodes, Paired256Values, SameBytes>(),
            _ => For<TFloat, TInteger, TCodes, LinearValues, SameBytes>(),
        };

    private static MatMulKernel For<TFloat, TInteger, TCodes, TValues, TMap>()
        where TFloat : struct, ISimd<TFloat>
        where TInteger : struct, ISimd<TInteger>
        where TCodes : struct, ICodes
        where TValues : struct, IValues
        where TMap : struct, IByteMap => new(
            &FloatMatVec<TFloat, TCodes, TValues>.Run,
            &FloatMatMul<TFloat, TCodes, TValues>.Run,
            &IntegerMatVec<TInteger, TCodes, TMap>.Run,
            &IntegerMatMul<TInteger, TCodes, TMap>.Run);
}
