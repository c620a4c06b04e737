using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>Scales of the 16 rows of a tile in machine code.</summary>
internal static class EmittedScales
{
    /// <summary>A vector of f32 = scales as they are stored.</summary>
    /// <param name="code">Where it is written.</param>
    /// <param name="to">The vector.</param>
    /// <param name="at">Where they lie.</param>
    /// <param name="scale">Their stored type.</param>
    public static void Load(X64Assembler code, int to, Mem at, TileScale scale)
    {
        switch (scale)
        {
            case TileScale.BF16:
                code.WidenWords(to, at);
                code.ShiftLeft(to, to, 16);
                break;
            case TileScale.F16:
                code.WidenHalves(to, at);
                break;
            case TileScale.E8M0:
                code.WidenBytes(to, at);
                code.ShiftLeft(to, to, 23);
                break;
            default:
                code.Load(to, at);
                break;
        }
    }
}
