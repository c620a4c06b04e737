namespace ModelPack.Kernels.MatMul;

/// <summary>The kernels for one weight on one instruction set.</summary>
internal readonly unsafe struct MatMulKernel
{
    private MatMulKernel(
        delegate*<byte*, in TileWeight, float*, float*, void> floatRow,
        delegate*<byte*, int, in TileWeight, float*, float*, float*, in TileOutput, void> floatRows,
        delegate*<byte*, int, in TileWeight, float*, int, in ColumnRuns, float*, float*, in TileOutput, void> floatRowsSparse,
        delegate*<byte*, in TileWeight, in ActivationCodes, float*, void> integerRow,
        delegate*<byte*, in TileWeight, in ActivationCodes, byte*, float*, void> integerRows,
        delegate*<byte*, byte*, int, byte*, int, void> unpack,
        delegate*<byte*, float*, float*, int, byte*, int, void> unpackBFloat16,
        int activationBytes)
    {
        FloatRow = floatRow;
        FloatRows = floatRows;
        FloatRowsSparse = floatRowsSparse;
        IntegerRow = integerRow;
        IntegerRows = integerRows;
        Unpack = unpack;
        UnpackBFloat16 = unpackBFloat16;
        ActivationBytes = activationBytes;
    }

    /// <summary>See <see cref="FloatMatVec{TSimd, TCodes, TValues}"/>.</summary>
    public delegate*<byte*, in TileWeight, float*, float*, void> FloatRow { get; }

    /// <summary>See <see cref="FloatMatMul{TSimd, TCodes, TValues}"/>.</summary>
    public delegate*<byte*, int, in TileWeight, float*, float*, float*, in TileOutput, void> FloatRows { get; }

    /// <summary>See <see cref="FloatMatMul{TSimd, TCodes, TValues}.RunSparse"/>.</summary>
    public delegate*<byte*, int, in TileWeight, float*, int, in ColumnRuns, float*, float*, in TileOutput, void> FloatRowsSparse { get; }

    /// <summary>See <see cref="IntegerMatVec{TSimd, TCodes, TMap, TDot}"/>. Null for plain values, as the next two.</summary>
    public delegate*<byte*, in TileWeight, in ActivationCodes, float*, void> IntegerRow { get; }

    /// <summary>See <see cref="IntegerMatMul{TSimd, TCodes, TMap, TDot}"/>.</summary>
    public delegate*<byte*, in TileWeight, in ActivationCodes, byte*, float*, void> IntegerRows { get; }

    /// <summary>See <see cref="CodePanel{TSimd, TCodes, TMap}"/>.</summary>
    public delegate*<byte*, byte*, int, byte*, int, void> Unpack { get; }

    /// <summary>See <see cref="BFloat16Panel{TSimd, TCodes, TValues}"/>; of values that BF16 does not hold exactly, of no use.</summary>
    public delegate*<byte*, float*, float*, int, byte*, int, void> UnpackBFloat16 { get; }

    /// <summary>Width of the activations that the integer kernels read, see <see cref="IDot"/>.</summary>
    public int ActivationBytes { get; }

    /// <summary>The kernels of a tier.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="tier">Instruction set.</param>
    public static MatMulKernel For(MatMulWeight weight, KernelTier tier) => For(weight, tier, Simd256.HasDot);

    /// <param name="weight">The weight.</param>
    /// <param name="tier">Instruction set.</param>
    /// <param name="hasDot">
    /// Multiply integers by the instruction of four products, in 256 bits also where 512 are there: .NET has it only at 256. Without the instruction its result comes by others.
    /// </param>
    internal static MatMulKernel For(MatMulWeight weight, KernelTier tier, bool hasDot) => tier switch
    {
        KernelTier.Avx512 when hasDot => For<Simd512, Simd256>(weight, true),
        KernelTier.Avx512 => For<Simd512, Simd512>(weight, false),
        KernelTier.Avx2 => For<Simd256, Simd256>(weight, hasDot),
        _ => For<Simd128, Simd128>(weight, false),
    };

    private static MatMulKernel For<TFloat, TInteger>(MatMulWeight weight, bool hasDot)
        where TFloat : struct, ISimd<TFloat>
        where TInteger : struct, ISimd<TInteger> => weight.Layout.Bits switch
        {
            2 => For<TFloat, TInteger, Codes2>(weight, hasDot),
            3 => For<TFloat, TInteger, Codes3>(weight, hasDot),
            4 => For<TFloat, TInteger, Codes4>(weight, hasDot),
            5 => For<TFloat, TInteger, Codes5>(weight, hasDot),
            6 => For<TFloat, TInteger, Codes6>(weight, hasDot),
            7 => For<TFloat, TInteger, Codes7>(weight, hasDot),
            16 => weight.Kind switch
            {
                ValueKind.Half => Plain<TFloat, Codes16, HalfValues>(),
                ValueKind.Posit1 => Plain<TFloat, Codes16, Posit1Values>(),
                ValueKind.Posit2 => Plain<TFloat, Codes16, Posit2Values>(),
                _ => Plain<TFloat, Codes16, PlainValues>(),
            },
            32 => Plain<TFloat, Codes32, PlainValues>(),
            _ => For<TFloat, TInteger, Codes8>(weight, hasDot),
        };

    private static MatMulKernel For<TFloat, TInteger, TCodes>(MatMulWeight weight, bool hasDot)
        where TFloat : struct, ISimd<TFloat>
        where TInteger : struct, ISimd<TInteger>
        where TCodes : struct, ICodes =>
        weight.Kind switch
        {
            ValueKind.Table16 when weight.HasIntegerTable => For<TFloat, TInteger, TCodes, Table16Values, TableBytes>(weight, hasDot),

            // With 16 lanes a look-up is one instruction; with fewer, integers are converted faster.
            ValueKind.Table16 when TFloat.Count == 16 || weight.IsTableOnly => For<TFloat, TInteger, TCodes, Table16Values, SameBytes>(weight, hasDot),
            ValueKind.Table => For<TFloat, TInteger, TCodes, TableValues, SameBytes>(weight, hasDot),
            ValueKind.Paired64 => For<TFloat, TInteger, TCodes, Paired64Values, SameBytes>(weight, hasDot),
            ValueKind.PairedSigned => For<TFloat, TInteger, TCodes, PairedSignedValues, SameBytes>(weight, hasDot),
            ValueKind.Paired256 => For<TFloat, TInteger, TCodes, Paired256Values, SameBytes>(weight, hasDot),
            _ when weight.Layout.Bits is 5 or 6 or 7 =>
                For<TFloat, TInteger, TCodes, LinearValues, SameBytes>(weight, hasDot).WithFloatRow(&UnpackedMatVec<TFloat, TCodes, LinearValues>.Run),
            _ => For<TFloat, TInteger, TCodes, LinearValues, SameBytes>(weight, hasDot),
        };

    private MatMulKernel WithFloatRow(delegate*<byte*, in TileWeight, float*, float*, void> floatRow) => new(floatRow, FloatRows, FloatRowsSparse, IntegerRow, IntegerRows, Unpack, UnpackBFloat16, ActivationBytes);

    private static MatMulKernel For<TFloat, TInteger, TCodes, TValues, TMap>(MatMulWeight weight, bool hasDot)
        where TFloat : struct, ISimd<TFloat>
        where TInteger : struct, ISimd<TInteger>
        where TCodes : struct, ICodes
        where TValues : struct, IValues
        where TMap : struct, IByteMap =>
        hasDot ? For<TFloat, TInteger, TCodes, TValues, TMap, InstructionDot>()
        : weight.LargestByte <= FourGroupsDot.Largest ? For<TFloat, TInteger, TCodes, TValues, TMap, FourGroupsDot>()
        : weight.LargestByte <= TwoGroupsDot.Largest ? For<TFloat, TInteger, TCodes, TValues, TMap, TwoGroupsDot>()
        : weight.LargestByte <= OneGroupDot.Largest ? For<TFloat, TInteger, TCodes, TValues, TMap, OneGroupDot>()
        : For<TFloat, TInteger, TCodes, TValues, TMap, WordsDot>();

    private static MatMulKernel For<TFloat, TInteger, TCodes, TValues, TMap, TDot>()
        where TFloat : struct, ISimd<TFloat>
        where TInteger : struct, ISimd<TInteger>
        where TCodes : struct, ICodes
        where TValues : struct, IValues
        where TMap : struct, IByteMap
        where TDot : struct, IDot => new(
            &FloatMatVec<TFloat, TCodes, TValues>.Run,
            &FloatMatMul<TFloat, TCodes, TValues>.Run,
            &FloatMatMul<TFloat, TCodes, TValues>.RunSparse,
            &IntegerMatVec<TInteger, TCodes, TMap, TDot>.Run,
            &IntegerMatMul<TInteger, TCodes, TMap, TDot>.Run,
            &CodePanel<TFloat, TCodes, TMap>.Unpack,
            &BFloat16Panel<TFloat, TCodes, TValues>.Unpack,
            TDot.ActivationBytes);

    private static MatMulKernel Plain<TFloat, TCodes, TValues>()
        where TFloat : struct, ISimd<TFloat>
        where TCodes : struct, ICodes
        where TValues : struct, IValues => new(
            &FloatMatVec<TFloat, TCodes, TValues>.Run,
            &FloatMatMul<TFloat, TCodes, TValues>.Run,
            &FloatMatMul<TFloat, TCodes, TValues>.RunSparse,
            null,
            null,
            null,
            &BFloat16Panel<TFloat, TCodes, TValues>.Unpack,
            0);
}
