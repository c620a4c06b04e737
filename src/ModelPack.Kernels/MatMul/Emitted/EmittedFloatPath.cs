using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>As <see cref="FloatPath"/>, with the same results, but one row is multiplied by code made at run time.</summary>
internal sealed unsafe class EmittedFloatPath : EmittedRowPath
{
    private static readonly EmittedFunctions<FloatRowShape> s_functions = new(shape => Write(shape, OperatingSystem.IsWindows()));

    private readonly FloatPath _rows;

    /// <summary>What is added to codes that have no table.</summary>
    private readonly float[] _zeros = GC.AllocateArray<float>(TileLayout.TileRows, pinned: true);

    private EmittedFloatPath(MatMulWeight weight, MatMulKernel kernel)
        : base(weight)
    {
        _rows = new FloatPath(weight, kernel);
        _zeros.AsSpan().Fill(-weight.Tile.Zero);
    }

    public override int PreparedColumns => _rows.PreparedColumns;

    protected override int RowTiles => RowCode.MaxTiles;

    /// <summary>Null where there is no code for the weight, or code cannot be made at run time.</summary>
    public static EmittedFloatPath? TryCreate(MatMulWeight weight, MatMulKernel kernel) =>
        HasCode(weight) && Avx512F.IsSupported && EmittedFunctions.Works ? new EmittedFloatPath(weight, kernel) : null;

    /// <summary>Writes the function for one row.</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    internal static byte[] Write(FloatRowShape shape, bool windows) => shape.Kind switch
    {
        ValueKind.Half => HalfRowCode.Write(shape, windows),
        ValueKind.Posit1 or ValueKind.Posit2 => PositRowCode.Write(shape, windows),
        _ => FloatRowCode.Write(shape, windows),
    };

    public override int TilesTogether(int rows) => rows == 1 ? RowTiles : _rows.TilesTogether(rows);

    public override long ScratchBytes(int rows) => _rows.ScratchBytes(rows);

    public override void Prepare(float* x, int rows, void* scratch, bool shared) => _rows.Prepare(x, rows, scratch, shared);

    public override void Multiply(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        if (rows > 1)
        {
            _rows.Multiply(tile, weight, scratch, rows, first, count, to);
            return;
        }

        Row(tile, weight, scratch, first, count, to);
    }

    protected override nint RowFunction(in TileWeight weight, int units, int tiles) =>
        s_functions.Get(new FloatRowShape(Weight.Kind, weight.CodeBits, units, weight.Scale, tiles, tiles == 1 ? 0 : weight.TileBytes));

    protected override byte* RowActivations(void* scratch, int block) => (byte*)((float*)scratch + (block * Weight.Layout.BlockUnits * Weight.Layout.UnitColumns));

    protected override byte* RowTable(in TileWeight weight) => Weight.Kind switch
    {
        ValueKind.Table16 => (byte*)weight.Table,
        ValueKind.Half => (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(HalfRowCode.Places)),
        _ => (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_zeros)),
    };

    protected override void ScaleRow(byte* tile, int tiles, in TileWeight weight, float* sums) => Scale(sums, tiles * TileLayout.TileRows, weight.Multiplier);

    private static bool HasCode(MatMulWeight weight) => weight.Kind switch
    {
        ValueKind.Table16 => weight.Tile.CodeBits is 2 or 4,
        ValueKind.Linear => weight.Tile.CodeBits == 8 && !weight.Layout.HasZeros,
        ValueKind.Half or ValueKind.Posit1 or ValueKind.Posit2 => Avx512DQ.IsSupported,
        _ => false,
    };
}
