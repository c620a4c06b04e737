using System.Runtime.Intrinsics.X86;
using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>As <see cref="FloatPath"/>, with the same results, but one row is multiplied by <see cref="FloatRowCode"/>.</summary>
internal sealed unsafe class EmittedFloatPath : MatMulPath
{
    private static readonly EmittedFunctions<FloatRowShape> s_functions = new(shape => FloatRowCode.Write(shape, OperatingSystem.IsWindows()));

    private readonly FloatPath _rows;

    private EmittedFloatPath(MatMulWeight weight, MatMulKernel kernel)
        : base(weight)
    {
        _rows = new FloatPath(weight, kernel);
    }

    public override int PreparedColumns => _rows.PreparedColumns;

    /// <summary>Null where there is no code for the weight, or code cannot be made at run time.</summary>
    public static EmittedFloatPath? TryCreate(MatMulWeight weight, MatMulKernel kernel) =>
        HasCode(weight) && Avx512F.IsSupported && EmittedFunctions.Works ? new EmittedFloatPath(weight, kernel) : null;

    public override int TilesTogether(int rows) => rows == 1 ? FloatRowCode.MaxTiles : _rows.TilesTogether(rows);

    public override long ScratchBytes(int rows) => _rows.ScratchBytes(rows);

    public override void Prepare(float* x, int rows, void* scratch, bool shared) => _rows.Prepare(x, rows, scratch, shared);

    public override void Multiply(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        if (rows > 1)
        {
            _rows.Multiply(tile, weight, scratch, rows, first, count, to);
            return;
        }

        for (int together = FloatRowCode.MaxTiles; count > 0; together /= 2)
        {
            int some = count & -together;
            if (some > 0)
            {
                Row(tile, weight, together, (float*)scratch, first, some, to);
                tile += some * weight.TileBytes;
                first += some;
                count -= some;
            }
        }
    }

    private static bool HasCode(MatMulWeight weight) => weight.Kind switch
    {
        ValueKind.Table16 => Bits(weight.Tile) is 2 or 4,
        ValueKind.Linear => Bits(weight.Tile) == 8 && !weight.Layout.HasZeros,
        _ => false,
    };

    private static int Bits(in TileWeight weight) => weight.UnitBytes * 8 / (TileLayout.TileRows * weight.UnitColumns);

    /// <summary>Tiles by one row, always so many together.</summary>
    private static void Row(byte* tile, in TileWeight weight, int together, float* x, int first, int count, in MatMulOutput to)
    {
        int whole = weight.Units / weight.BlockUnits;
        int lastUnits = weight.Units - (whole * weight.BlockUnits);
        var shape = new FloatRowShape(Bits(weight), weight.BlockUnits, weight.Scale, together, together == 1 ? 0 : weight.TileBytes);
        var function = whole == 0 ? null : (delegate* unmanaged[SuppressGCTransition]<EmittedCall*, void>)s_functions.Get(shape);
        var last = lastUnits == 0 ? null : (delegate* unmanaged[SuppressGCTransition]<EmittedCall*, void>)s_functions.Get(shape with { Units = lastUnits });
        float* sums = stackalloc float[FloatRowCode.MaxTiles * TileLayout.TileRows];
        int outputs = together * TileLayout.TileRows;
        EmittedCall call;
        call.Y = sums;
        call.Table = (byte*)weight.Table;
        float* zeros = stackalloc float[TileLayout.TileRows];
        if (shape.Bits == 8)
        {
            new Span<float>(zeros, TileLayout.TileRows).Fill(-weight.Zero);
            call.Table = (byte*)zeros;
        }

        for (int i = first; i < first + count; i += together)
        {
            new Span<float>(sums, outputs).Clear();
            if (whole > 0)
            {
                call.X = (byte*)x;
                call.Weights = tile + weight.CodesOffset;
                call.Scales = tile;
                call.Blocks = whole;
                function(&call);
            }

            if (lastUnits > 0)
            {
                call.X = (byte*)(x + (whole * weight.BlockUnits * weight.UnitColumns));
                call.Weights = tile + weight.CodesOffset + ((long)whole * weight.BlockUnits * weight.UnitBytes);
                call.Scales = tile + ((long)whole * TileLayout.TileRows * weight.ScaleBytes);
                call.Blocks = 1;
                last(&call);
            }

            Simd512 multiplier = Simd512.Create(weight.Multiplier);
            for (int r = 0; r < outputs; r += Simd512.Count)
            {
                Simd512.Store(Simd512.Multiply(Simd512.Load(sums + r), multiplier), sums + r);
            }

            MatMulRun.Store(sums, 1, i, together, weight.Rows, to);
            tile += together * weight.TileBytes;
        }
    }
}
